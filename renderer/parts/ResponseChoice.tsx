import type { InputOf } from '../../core/contract/contract.ts';
import type { Service } from '../../core/contract/domain.ts';
import { defaultResponse, responseSettingsSchema } from '../../core/contract/response-settings.ts';
import { span } from '../format.ts';
import { run } from '../store/commands.ts';
import { useMayAct } from '../store/console-store.ts';
import { text } from '../text.ts';

const words = text.service.response;

/** What a deadline may be chosen from; others are set in the terminal. */
const deadlines: readonly { deadline: number; atDeadline: 'move' | 'stay' }[] = [
  { deadline: 0, atDeadline: 'stay' },
  { deadline: 30, atDeadline: 'move' },
  { deadline: 120, atDeadline: 'move' },
  { deadline: 120, atDeadline: 'stay' },
];
const quietSeconds = [60, 600, 3_600, 21_600];

const keyOf = (deadline: number, atDeadline: string) => `${deadline}/${deadline === 0 ? 'stay' : atDeadline}`;

/** What happens at a proposal's deadline, who decides about the way home, and whether a decoy stays behind. */
export function ResponseChoice({ service }: { service: Service }) {
  const mayAct = useMayAct();
  const response = service.response ?? defaultResponse;
  const set = (change: Omit<InputOf<'service.policy'>, 'service'>) =>
    void run('service.policy', { service: service.id, ...change }, (o) => words.done(o.service));
  const present = { deadline: response.deadlineSeconds ?? 0, atDeadline: response.atDeadline };
  const offered = new Map(
    [...deadlines, present].map((one) => [keyOf(one.deadline, one.atDeadline), one] as const),
  );
  return (
    <div className="response-choice">
      {service.policy === 'approve' && (
        <label>
          {words.deadline}{' '}
          <select
            value={keyOf(present.deadline, present.atDeadline)}
            disabled={!mayAct}
            onChange={(event) => set(offered.get(event.target.value) ?? present)}
          >
            {[...offered].map(([key, { deadline, atDeadline }]) => (
              <option key={key} value={key}>
                {words.deadlines(deadline || null, atDeadline)}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        {words.home}{' '}
        <select
          value={response.home}
          disabled={!mayAct}
          onChange={(event) => set({ home: responseSettingsSchema.shape.home.parse(event.target.value) })}
        >
          {responseSettingsSchema.shape.home.options.map((home) => (
            <option key={home} value={home}>
              {words.homes[home]}
            </option>
          ))}
        </select>
      </label>
      {response.home !== 'manual' && (
        <label>
          {words.quiet}{' '}
          <select
            value={response.homeQuietSeconds}
            disabled={!mayAct}
            onChange={(event) => set({ homeQuiet: Number(event.target.value) })}
          >
            {[...new Set([...quietSeconds, response.homeQuietSeconds])]
              .sort((a, b) => a - b)
              .map((seconds) => (
                <option key={seconds} value={seconds}>
                  {span(seconds * 1000)}
                </option>
              ))}
          </select>
        </label>
      )}
      <label>
        <input
          type="checkbox"
          checked={response.decoy}
          disabled={!mayAct}
          onChange={(event) => set({ decoy: event.target.checked ? 'on' : 'off' })}
        />{' '}
        {words.decoy}
      </label>
    </div>
  );
}
