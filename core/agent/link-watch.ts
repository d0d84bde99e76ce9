import type { MoveError } from '../runtime/errors.ts';
import { AttackDetector, type AttackEvent } from '../sites/attack/attack-detector.ts';
import { LinkSampler } from '../sites/attack/link-sampler.ts';

/** A ring has many nodes and each of them can be spared: six times less often than a site looks, which cannot. */
const lookEveryMs = 150;

/** Watches an overlay node's own link for a flood, as a site watches its primary one (MOVE section 2.4). */
export function watchLink(
  link: { device: string; capacityMbit: number },
  onEvent: (event: AttackEvent) => void,
  onFault: (fault: MoveError) => void,
): { close(): void } {
  const sampler = new LinkSampler({ device: link.device, periodMs: lookEveryMs });
  const detector = new AttackDetector({ capacityMbit: link.capacityMbit, windowMs: 3 * lookEveryMs });
  sampler.start((sample) => {
    for (const event of detector.observe(sample)) onEvent(event);
  }, onFault);
  return sampler;
}
