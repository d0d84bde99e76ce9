import type { ControlContext } from './control-context.ts';
import { ownSites } from './holdings.ts';

const askDeadlineMs = 5_000;

/** Where a pod of the service runs, by asking every site that is this control plane's, and which sites gave no answer. */
export async function findPod(
  context: Pick<ControlContext, 'agent' | 'store'>,
  service: string,
): Promise<{
  found: { site: string; epoch: number } | null;
  asleep: readonly string[];
  silent: readonly string[];
}> {
  const silent: string[] = [];
  const asleep: string[] = [];
  const answers = await Promise.all(
    ownSites(context.store.state).map(async ({ id: site }) => {
      try {
        const agent = await context.agent(site);
        const status = await agent.call('site.status', {}, { deadlineMs: askDeadlineMs });
        const pods = status.pods.filter((candidate) => candidate.service === service);
        if (pods.some(({ state }) => state === 'frozen' || state === 'fenced')) asleep.push(site);
        const pod = pods.find(({ state }) => state === 'running');
        return pod ? { site, epoch: pod.epoch } : null;
      } catch {
        silent.push(site);
        return null;
      }
    }),
  );
  const running = answers.filter((answer) => answer !== null);
  return { found: running.sort((a, b) => b.epoch - a.epoch)[0] ?? null, asleep, silent };
}
