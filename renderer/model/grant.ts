import { text } from '../text.ts';

const errors = text.credential.form.errors;

/** What somebody has typed about a client certificate: for whom, for which services, for how long. */
export interface Grant {
  name: string;
  any: boolean;
  /** Host names as they were typed; they count where `any` is false. */
  services: string;
  days: string;
}

/** What is wrong with a grant, by field. */
export function faultsOfGrant({
  name,
  any,
  services,
  days,
}: Grant): Partial<Record<'name' | 'services' | 'days', string>> {
  const lifetime = Number(days);
  return {
    ...(name.trim().length < 1 || name.trim().length > 64 ? { name: errors.name } : {}),
    ...(!any && hostnames(services).length === 0 ? { services: errors.services } : {}),
    ...(lifetime >= 0.0001 && lifetime <= 825 ? {} : { days: errors.days }),
  };
}

/** A grant as the contract's calls take it. */
export function inputOfGrant({ name, any, services, days }: Grant) {
  return {
    name: name.trim(),
    services: any ? ('any' as const) : hostnames(services),
    days: Number(days),
  };
}

/** The host names in a list that somebody typed, in lower case; parted by commas, semicolons or white space. */
export function hostnames(list: string): string[] {
  return list
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter(Boolean);
}
