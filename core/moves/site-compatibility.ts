import type { Finding, SiteFacts } from '../contract/preflight.ts';

/** So many features are named in a sentence. */
const featuresNamed = 6;

/**
 * What on another site would keep a pod of this one from waking there: its memory may hold results of what the
 * processor can do, its sockets and files are rebuilt by criu on that kernel, and all that is not in the state comes from the
 * image and the gateway there. `image` is the pod's base image, `memoryBytes` what its processes occupy.
 */
export function compareSites(
  from: SiteFacts,
  to: SiteFacts,
  site: string,
  pod: { image: string; memoryBytes: number },
): Finding[] {
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], code: string, message: string) =>
    findings.push({ severity, code, message, subject: site });
  const missing = from.features.filter((feature) => !to.features.includes(feature));
  if (missing.length > 0)
    add(
      'blocks',
      'PROCESSOR_LACKS',
      `The processors of ${site} lack ${named(missing)}, which a program may have found and use. Take a site with processors of the same or a later kind.`,
    );
  if (to.criu === null) add('blocks', 'CRIU_MISSING', `${site} has no criu. Provision the host again.`);
  else if (from.criu !== to.criu)
    add(
      'warns',
      'CRIU_DIFFERS',
      `${site} has criu ${to.criu}, here it is ${from.criu ?? 'none'}. Images are read by later versions; bring both to the same one.`,
    );
  const order = compareReleases(from.kernel, to.kernel);
  if (order > 0)
    add(
      'warns',
      'KERNEL_OLDER',
      `${site} runs Linux ${to.kernel}, older than ${from.kernel} here. What the newer one has may be missing there.`,
    );
  if (to.images[pod.image] === undefined)
    add('blocks', 'IMAGE_MISSING', `${site} does not have the image ${pod.image}. Provision the host again.`);
  else if (to.images[pod.image] !== from.images[pod.image])
    add(
      'blocks',
      'IMAGE_DIFFERS',
      `The image ${pod.image} at ${site} was made from another recipe than the one here. Build it anew on both.`,
    );
  if (to.gateway !== from.gateway)
    add('blocks', 'GATEWAY_DIFFERS', `${site} has another gateway program. Provision both hosts alike.`);
  if (to.memoryAvailableBytes < pod.memoryBytes)
    add(
      'blocks',
      'MEMORY_SHORT',
      `${site} has ${megabytes(to.memoryAvailableBytes)} MB of memory left, the service needs ${megabytes(pod.memoryBytes)} MB.`,
    );
  return findings;
}

const named = (features: readonly string[]) =>
  features.slice(0, featuresNamed).join(', ') +
  (features.length > featuresNamed ? ` and ${features.length - featuresNamed} more` : '');

const megabytes = (bytes: number) => Math.round(bytes / 1e6);

/** Compares the leading numbers of two kernel releases: negative when the first is older. */
function compareReleases(a: string, b: string): number {
  const numbers = (release: string) => /^[\d.]*/.exec(release)![0].split('.').map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
