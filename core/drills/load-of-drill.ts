import type { DrillPlan } from './drill-plan.ts';

/** Which program of a host sends a drill's load, and with what options. */
export interface DrillLoad {
  program: 'flood' | 'surge' | 'web-attack';
  options: Record<string, unknown>;
}

/** The port that the lab's services listen on. */
const PORT = 80;

/** What each sender of a drill is asked for; pure. The guard on its host has the last word. */
export function loadOf(plan: DrillPlan, target: { address: string; service: string }): DrillLoad {
  const common = { address: target.address, port: PORT, seconds: plan.loadMs / 1000 };
  switch (plan.kind) {
    case 'syn-flood':
      return {
        program: 'flood',
        options: { purpose: plan.kind, ...common, packetsPerSecond: plan.packetsPerSecondEach },
      };
    case 'udp-flood':
    case 'icmp-flood':
    case 'node-flood':
      return { program: 'flood', options: { purpose: plan.kind, ...common, mbit: plan.mbitEach } };
    case 'http-flood':
    case 'slow-http':
    case 'expensive-requests':
      return {
        program: 'web-attack',
        options: {
          request: {
            purpose: plan.kind,
            ...common,
            connections: plan.connectionsEach,
            ...(plan.kind === 'slow-http' ? {} : { requestsPerSecond: plan.requestsPerSecondEach }),
          },
          shape: {
            // The stock list is compressed for each request anew.
            path: plan.kind === 'expensive-requests' ? '/stock.txt' : '/lamp.svg',
            hostname: target.service,
          },
        },
      };
    case 'honest-surge':
    case 'quiet-minute':
      return {
        program: 'surge',
        options: {
          request: { purpose: 'honest-surge', ...common, connections: plan.connectionsEach },
          shape: { path: '/catalogue.bin', hostname: target.service, uploadBytes: 0 },
        },
      };
  }
}
