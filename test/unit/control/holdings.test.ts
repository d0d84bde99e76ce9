import { describe, expect, it } from 'vitest';
import {
  operatorHoldings,
  organisationHoldings,
  requireOwnService,
  requireOwnSite,
} from '../../../core/control/holdings.ts';

const bakery = { name: 'bakery', services: ['bread.example'], sites: ['c1', 'c2'] };

describe('what is a control plane’s own', () => {
  it('is for an operator all that no organisation has, and was not given away before', () => {
    let organisations = [bakery];
    const holdings = operatorHoldings(
      () => organisations,
      (site) => (site === 'c2' ? 'bakery' : null),
    );
    expect(['a1', 'c1', 'c2'].map(holdings.siteHolder)).toEqual([
      null,
      'the organisation bakery',
      'the organisation bakery',
    ]);
    expect(['shop.example', 'Bread.Example'].map(holdings.serviceHolder)).toEqual([
      null,
      'the organisation bakery',
    ]);
    // When it is revoked, the names are free; an agent that obeys it goes on doing so.
    organisations = [];
    expect(['c1', 'c2'].map(holdings.siteHolder)).toEqual([null, 'the organisation bakery']);
    expect(holdings.serviceHolder('bread.example')).toBeNull();
  });

  it('is for an organisation what its authority names', () => {
    const holdings = organisationHoldings(bakery);
    expect(['c1', 'a1'].map((site) => holdings.siteHolder(site) === null)).toEqual([true, false]);
    expect(() => requireOwnSite(holdings, 'c2')).not.toThrow();
    expect(() => requireOwnSite(holdings, 'a1')).toThrow(expect.objectContaining({ code: 'SITE_FOREIGN' }));
    expect(() => requireOwnService(holdings, 'bread.example')).not.toThrow();
    expect(() => requireOwnService(holdings, 'shop.example')).toThrow(
      expect.objectContaining({ code: 'SERVICE_FOREIGN' }),
    );
  });
});
