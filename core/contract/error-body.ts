/**
 * The one shape in which a fault crosses any boundary of the product: a stable code for programs,
 * a sentence that tells a person what to do, and details for the log.
 */
export interface ErrorBody {
  code: string;
  message: string;
  details?: Record<string, unknown>;
}
