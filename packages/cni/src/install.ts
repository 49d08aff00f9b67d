/** `calico install`: the executables and the network configuration in their places on a node. */
import { runInstaller } from "./adapter/install.ts";

runInstaller();
