import { expect, test } from "vitest";
import { loadBalancerHandle } from "./load-balancer-handle.ts";

test.for([
  // printf web-default-6f9619ff-8b86-d011-b42d-00c04fc964ff | openssl dgst -sha256 -binary | basenc --base64url
  { name: "web", namespace: "default", uid: "6F9619FF-8B86-D011-B42D-00C04FC964FF", want: "lb-XqfTDtmDFhyMKOEwhBTx74WthrPcEao8VlesB5w0" },
  { name: "svc", namespace: "test-namespace", uid: "1234", want: "lb-Uuf2PWWShR0FrEFqVGcILVzJvNbkzVM4nhFkQQZnbk" },
])("loadBalancerHandle: $namespace/$name", ({ want, ...service }) => {
  expect(loadBalancerHandle(service)).toBe(want);
});
