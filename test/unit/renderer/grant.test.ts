import { describe, expect, it } from 'vitest';
import { faultsOfGrant, inputOfGrant } from '../../../renderer/model/grant.ts';

const grant = {
  name: ' Ada ',
  any: false,
  services: 'Shop.example, wiki.example;\ndocs.example ',
  days: '0.5',
};

describe('a grant', () => {
  it('becomes what the contract takes', () => {
    expect(faultsOfGrant(grant)).toEqual({});
    expect(inputOfGrant(grant)).toEqual({
      name: 'Ada',
      services: ['shop.example', 'wiki.example', 'docs.example'],
      days: 0.5,
    });
    expect(inputOfGrant({ ...grant, any: true }).services).toBe('any');
  });

  it('names each fault by its field, and no service where any will do', () => {
    const wrong = { name: ' ', any: false, services: ' ,', days: 'long' };
    expect(Object.keys(faultsOfGrant(wrong)).sort()).toEqual(['days', 'name', 'services']);
    expect(Object.keys(faultsOfGrant({ ...wrong, any: true })).sort()).toEqual(['days', 'name']);
    expect(Object.keys(faultsOfGrant({ ...grant, days: '826', name: 'x'.repeat(65) })).sort()).toEqual([
      'days',
      'name',
    ]);
  });
});
