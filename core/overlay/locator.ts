import type { LocationRecord } from './location-record.ts';

/** How an access point learns where a service is; the ring's directory implements it. */
export interface Locator {
  /**
   * The newest record that can be found and verified, within the locator's own deadline.
   * @throws MoveError `SERVICE_NOT_FOUND` when nobody announces the service, `LOCATE_FAILED` when the
   * directory could not be asked.
   */
  locate(service: string): Promise<LocationRecord>;
  /**
   * Calls `listener` with each record whose epoch is higher than any seen before, as soon as the directory
   * pushes it. The returned function ends the subscription.
   */
  watch(service: string, listener: (record: LocationRecord) => void): () => void;
}
