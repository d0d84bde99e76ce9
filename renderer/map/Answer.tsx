import type { Attack, Move, Service } from '../../core/contract/domain.ts';
import { clock, mbit, place, seconds } from '../format.ts';
import { activeAttacks, isUnderWay, servicesByName } from '../model/reading.ts';
import { useNow } from '../parts/use-now.ts';
import { useCollection } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

/** What a service's situation is, told as a sentence and its two figures. */
interface Reading {
  sentence: string;
  tone: 'plain' | 'good' | 'attack' | 'decision';
  figure: string;
  unit: string;
  label: string;
  note: string;
  second: { figure: string; label: string; tone: 'plain' | 'good' | 'attack' };
}

const newsMs = 600_000;

/** The largest type on the screen: where the service is, what it cost, whether anyone lost a session. */
export function Answer({ service, move }: { service: Service | null; move: Move | null }) {
  const attacks = activeAttacks(useCollection('attacks'));
  const sites = useCollection('sites');
  const attack = service ? (attacks.find((one) => one.site === service.site) ?? null) : null;
  const running = move !== null && isUnderWay(move);
  const now = useNow(running ? 80 : attack ? 250 : 10_000);
  if (!service)
    return (
      <section className="answer">
        <h1>{text.answer.noService}</h1>
        <p className="muted">{text.answer.noServiceHint}</p>
      </section>
    );
  const arriving = Math.max(attack?.inboundMbit ?? 0, sites[service.site]?.primaryInMbit ?? 0);
  const reading = read(service, move, attack && { ...attack, inboundMbit: arriving }, now);
  return (
    <section className="answer" data-tone={reading.tone} data-testid="answer">
      <h1>
        <ServiceName service={service} /> <span className="sentence">{reading.sentence}</span>
      </h1>
      <div className="answer-figures">
        <p className="big">
          {reading.figure} <span>{reading.unit}</span>
        </p>
        <p className="beside">
          <span>{reading.label}</span>
          <span className="muted">{reading.note}</span>
        </p>
        <p className="beside second" data-tone={reading.second.tone}>
          <strong>{reading.second.figure}</strong>
          <span className="muted">{reading.second.label}</span>
        </p>
      </div>
    </section>
  );
}

function ServiceName({ service }: { service: Service }) {
  const services = servicesByName(useCollection('services'));
  const choose = useUi((ui) => ui.chooseService);
  if (services.length < 2) return <span>{service.id}</span>;
  return (
    <select
      aria-label={text.answer.service}
      value={service.id}
      onChange={(event) => choose(event.target.value)}
    >
      {services.map((one) => (
        <option key={one.id}>{one.id}</option>
      ))}
    </select>
  );
}

function read(service: Service, move: Move | null, attack: Attack | null, now: number): Reading {
  const open = {
    figure: String(service.sessions),
    label: text.answer.sessionsOpen(service.sessions),
    tone: 'plain',
  } as const;
  if (move && isUnderWay(move)) {
    const freeze = move.phases.find((phase) => phase.phase === 'freeze');
    const soFar = freeze ? Math.max(0, now - freeze.startedAt) : null;
    return {
      sentence: text.answer.moving(move.from, move.to),
      tone: 'decision',
      figure: soFar === null ? '0.00' : seconds(soFar).figure,
      unit: 's',
      label: soFar === null ? text.answer.beforeFreeze : text.answer.soFar,
      note: move.predictedOutageMs === null ? '' : text.answer.predicted(move.predictedOutageMs),
      second: open,
    };
  }
  if (attack)
    return {
      sentence: text.answer.attacked(service.site),
      tone: 'attack',
      figure: clock(now - attack.firstEvidenceAt),
      unit: '',
      label: text.answer.underAttack,
      note: `${text.attack.kinds[attack.kind]}, ${mbit(attack.inboundMbit)} ${text.answer.inbound}`,
      second: open,
    };
  if (move?.outageMs != null && service.site === move.to && isNews(service, move, now)) {
    const lost = move.sessionsLost;
    const carried = move.sessionsCarried ?? 0;
    return {
      sentence: text.answer.moved(move.from, move.to),
      tone: 'good',
      ...seconds(move.outageMs),
      label: text.answer.outage,
      note: move.predictedOutageMs === null ? '' : text.answer.predicted(move.predictedOutageMs),
      second:
        lost === null
          ? { figure: String(carried), label: text.answer.sessionsCarried, tone: 'good' }
          : {
              figure: text.answer.lostOf(lost, Math.max(lost, carried)),
              label: text.answer.sessionsLost,
              tone: lost > 0 ? 'attack' : 'good',
            },
    };
  }
  const failed =
    move !== null &&
    (move.state === 'failed' || move.state === 'rolled-back') &&
    now - (move.endedAt ?? now) < newsMs;
  return {
    sentence:
      service.state === 'down'
        ? text.answer.down(service.site)
        : failed
          ? text.answer.failed(service.site)
          : text.answer.livesAt(service.site),
    tone: service.state === 'down' ? 'attack' : 'good',
    figure: String(service.sessions),
    unit: '',
    label: text.answer.sessionsOpen(service.sessions),
    note:
      service.site === service.homeSite ? text.service.atHome : text.answer.awayFrom(place(service.homeSite)),
    second: { figure: text.attack.none, label: lastOutage(move), tone: 'good' },
  };
}

/** A move is the answer while the service is away from home, and for ten minutes in any case. */
function isNews(service: Service, move: Move, now: number): boolean {
  return service.site !== service.homeSite || now - (move.endedAt ?? now) < newsMs;
}

function lastOutage(move: Move | null): string {
  return move?.outageMs == null ? '' : text.answer.lastOutage(move.outageMs);
}
