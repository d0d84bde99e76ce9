import { useId } from 'react';
import type { faultsOfGrant, Grant } from '../model/grant.ts';
import { servicesByName } from '../model/reading.ts';
import { Field } from '../parts/Field.tsx';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

const words = text.credential.form;

/** Which services a certificate opens, and for how long. */
export function GrantFields(props: {
  grant: Grant;
  faults: ReturnType<typeof faultsOfGrant>;
  change(part: Partial<Grant>): void;
}) {
  const { grant, faults, change } = props;
  const group = useId();
  return (
    <>
      <fieldset className="choice">
        <legend>{words.services}</legend>
        <div className="segments">
          {([true, false] as const).map((any) => (
            <label key={String(any)}>
              <input type="radio" name={group} checked={grant.any === any} onChange={() => change({ any })} />
              <span>{any ? words.anyService : words.chosen}</span>
            </label>
          ))}
        </div>
      </fieldset>
      {!grant.any && (
        <ServicesField
          label={words.chosen}
          fault={faults.services}
          value={grant.services}
          onChange={(services) => change({ services })}
        />
      )}
      <Field label={words.days} fault={faults.days}>
        {(ids) => (
          <input
            {...ids}
            className="short"
            inputMode="decimal"
            value={grant.days}
            onChange={(event) => change({ days: event.target.value })}
          />
        )}
      </Field>
    </>
  );
}

/** Host names of services, of which those that there are are offered. */
export function ServicesField(props: {
  label: string;
  fault: string | undefined;
  value: string;
  onChange(services: string): void;
}) {
  const services = servicesByName(useCollection('services'));
  const list = useId();
  return (
    <>
      <Field label={props.label} hint={words.chosenHint} fault={props.fault}>
        {(ids) => (
          <input
            {...ids}
            list={list}
            value={props.value}
            onChange={(event) => props.onChange(event.target.value)}
          />
        )}
      </Field>
      <datalist id={list}>
        {services.map((service) => (
          <option key={service.id} value={service.id} />
        ))}
      </datalist>
    </>
  );
}
