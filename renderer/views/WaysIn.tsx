import type { Service } from '../../core/contract/domain.ts';
import { span } from '../format.ts';
import { certificatesFor, insideByTest, passMinutes } from '../model/admission.ts';
import { Icon } from '../parts/Icon.tsx';
import { useNow } from '../parts/use-now.ts';
import { setAdmission } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { type CredentialList, useUi } from '../store/ui-store.ts';
import type { Admission, AdmissionKnown } from '../store/use-admission.ts';
import { text } from '../text.ts';

const words = text.admission;

/** How people come into a service: certificates, the human test and its terms, passwords. */
export function WaysIn({ service, known }: { service: Service; known: AdmissionKnown }) {
  const credentials = useCollection('credentials');
  const now = useNow(10_000);
  return (
    <section aria-labelledby={`ways-${service.id}`}>
      <h3 id={`ways-${service.id}`}>{words.title}</h3>
      <dl className="ways">
        <dt>{words.certificate}</dt>
        <dd>
          <ToList list="certificates">
            {words.certificates(certificatesFor(credentials, service.id, now))}
          </ToList>
        </dd>
        {known.kind === 'known' ? (
          <>
            <dt>{words.test}</dt>
            <TestWay service={service} admission={known.admission} now={now} />
            <dt>{words.password}</dt>
            <PasswordWay service={service} admission={known.admission} />
          </>
        ) : (
          <dd className="ways-whole">
            {known.kind === 'asking' ? (
              <span className="muted" role="status">
                {words.asking}
              </span>
            ) : (
              <span role="alert">
                {words.failed} {known.message}{' '}
                <button type="button" className="link" onClick={known.again}>
                  {words.again}
                </button>
              </span>
            )}
          </dd>
        )}
      </dl>
    </section>
  );
}

function ToList(props: { list: CredentialList; children: string }) {
  const show = useUi((ui) => ui.show);
  const list = useUi((ui) => ui.list);
  return (
    <button
      type="button"
      className="link muted"
      onClick={() => {
        list(props.list);
        show('credentials');
      }}
    >
      {props.children}
    </button>
  );
}

function TestWay({ service, admission, now }: { service: Service; admission: Admission; now: number }) {
  const mayAct = useMayAct();
  const open = useUi((ui) => ui.open);
  const visitors = useCollection('visitors');
  const isOpen = admission.services.some((one) => one.service === service.id && one.humanTest);
  const inside = insideByTest(visitors, service.id, now);
  const choose = (wanted: boolean) => {
    if (wanted) void setAdmission({ open: [service.id] }, words.set.open(service.id));
    else if (inside > 0) open({ kind: 'close-test', service: service.id });
    else void setAdmission({ close: [service.id] }, words.set.closed(service.id));
  };
  return (
    <dd>
      <div className="ways-line">
        <div className="segments" role="radiogroup" aria-label={words.test}>
          {([false, true] as const).map((value) => (
            <label key={String(value)}>
              <input
                type="radio"
                name={`test-${service.id}`}
                checked={isOpen === value}
                disabled={!mayAct}
                onChange={() => choose(value)}
              />
              <span>{words.state[value ? 'open' : 'closed']}</span>
            </label>
          ))}
        </div>
        {(isOpen || inside > 0) && <ToList list="visitors">{words.inside(inside)}</ToList>}
      </div>
      {isOpen && (
        <>
          <div className="ways-line">
            <label>
              {words.lasts}{' '}
              <select
                value={admission.lifetimeMinutes}
                disabled={!mayAct}
                onChange={(event) => {
                  const lifetimeMinutes = Number(event.target.value);
                  void setAdmission({ lifetimeMinutes }, words.set.lasts(lifetimeMinutes));
                }}
              >
                {passMinutes(admission.lifetimeMinutes).map((minutes) => (
                  <option key={minutes} value={minutes}>
                    {span(minutes * 60_000)}
                  </option>
                ))}
              </select>
            </label>
            <label className="check">
              <input
                type="checkbox"
                checked={admission.sound}
                disabled={!mayAct}
                onChange={({ target }) =>
                  void setAdmission({ sound: target.checked ? 'on' : 'off' }, words.set.sound(target.checked))
                }
              />
              {words.sound}
            </label>
          </div>
          <p className="muted">
            {words.forAll} {!admission.sound && words.noSound}
          </p>
        </>
      )}
    </dd>
  );
}

function PasswordWay({ service, admission }: { service: Service; admission: Admission }) {
  const mayAct = useMayAct();
  const open = useUi((ui) => ui.open);
  const people = admission.people.filter(({ services }) => services.includes(service.id));
  return (
    <dd>
      <div className="ways-line">
        {people.length === 0 && <span className="muted">{words.nobody}</span>}
        {people.length > 0 && (
          <ul className="people-in">
            {people.map(({ name, services }) => (
              <li key={name}>
                {name}
                <button
                  type="button"
                  className="icon-button"
                  aria-label={words.remove.button(name)}
                  title={words.remove.button(name)}
                  disabled={!mayAct}
                  onClick={() => open({ kind: 'remove-person', name, services })}
                >
                  <Icon name="close" size={12} />
                </button>
              </li>
            ))}
          </ul>
        )}
        <button
          type="button"
          className="button small"
          disabled={!mayAct}
          onClick={() => open({ kind: 'let-in', service: service.id })}
        >
          <Icon name="plus" size={14} />
          {words.add}
        </button>
      </div>
    </dd>
  );
}
