/** How calico-node is on one node, and a workload's move between nodes. Source: calico api v3 caliconodestatus.go; libcalico-go/lib/apis/internalapi (livemigration.go). */
import { z } from "zod";
import { object, once, resource, resourceWithStatus } from "./base.ts";
import { selectorText } from "./values.ts";

const birdStatus = once(() =>
  object({
    state: z.string().optional(),
    version: z.string().optional(),
    routerID: z.string().optional(),
    lastBootTime: z.string().optional(),
    lastReconfigurationTime: z.string().optional(),
  }),
);

const PEER_STATES = ["Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close"] as const;
const bgpPeerStatus = once(() =>
  object({
    peerIP: z.string().optional(),
    type: z.enum(["NodeMesh", "NodePeer", "GlobalPeer"]).optional(),
    state: z.enum(PEER_STATES).optional(),
    since: z.string().optional(),
  }),
);

const routeStatus = once(() =>
  object({
    type: z.enum(["FIB", "RIB"]).optional(),
    destination: z.string().optional(),
    gateway: z.string().optional(),
    interface: z.string().optional(),
    learnedFrom: object({
      sourceType: z.enum(["Kernel", "Static", "Direct", "NodeMesh", "BGPPeer"]).optional(),
      peerIP: z.string().optional(),
    }).optional(),
  }),
);

export const calicoNodeStatusSchema = once(() => {
  const count = z.number().int().optional();
  const peers = z.array(bgpPeerStatus()).optional();
  const routes = z.array(routeStatus()).optional();
  return resourceWithStatus(
    "CalicoNodeStatus",
    object({
      node: z.string().optional(),
      classes: z.array(z.enum(["Agent", "BGP", "Routes"])).optional(),
      /** 0: not updated. */
      updatePeriodSeconds: z.number().int().min(0).max(86_400).default(10),
    }).prefault({}),
    object({
      lastUpdated: z.string().nullish(),
      agent: object({ birdV4: birdStatus().optional(), birdV6: birdStatus().optional() }).optional(),
      bgp: object({
        ...{ numberEstablishedV4: count, numberNotEstablishedV4: count, numberEstablishedV6: count, numberNotEstablishedV6: count },
        ...{ peersV4: peers, peersV6: peers },
      }).optional(),
      routes: object({ routesV4: routes, routesV6: routes }).optional(),
    }),
  );
});

const objectName = once(() => object({ namespace: z.string().optional(), name: z.string().optional() }));

export const liveMigrationSchema = once(() =>
  resource(
    "LiveMigration",
    object({
      source: object({
        workload: z.union([z.string(), objectName()]).optional(),
        workloadEndpoint: z.union([z.string(), objectName()]).optional(),
      }).optional(),
      target: object({ selector: selectorText().optional(), workloadEndpoint: z.union([z.string(), objectName()]).optional() }).optional(),
    }).prefault({}),
  ),
);
