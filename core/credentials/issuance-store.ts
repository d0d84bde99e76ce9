import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { MoveError } from '../runtime/errors.ts';
import type { IssuedCertificate, RevocationReason } from './issuance-log.ts';
import type { ProfileName } from './profiles.ts';

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE issued (
    serial TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    services TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    certificate_pem TEXT NOT NULL,
    revoked_at INTEGER,
    reason TEXT
  ) STRICT;
  CREATE INDEX issued_by_expiry ON issued (not_after);
  CREATE INDEX revoked_by_expiry ON issued (not_after) WHERE revoked_at IS NOT NULL;
  CREATE TABLE revocation_list (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL) STRICT;
  INSERT INTO revocation_list VALUES (1, 0);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Beside what every version knows, so that an older one still opens the file. */
const RENEWALS = `
  CREATE TABLE IF NOT EXISTS renewal (
    serial TEXT PRIMARY KEY,
    family TEXT NOT NULL,
    allowed INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS renewal_by_family ON renewal (family);
`;

/** Certificates that renew one another: how often that is allowed in all, and their serial numbers in order. */
export interface RenewalFamily {
  id: string;
  allowed: number;
  serials: string[];
}

export interface ListOptions {
  /** Also those whose time is over. Default false. */
  includeExpired?: boolean;
  /** At most this many, newest first. Default 1,000, at most 10,000. */
  limit?: number;
}

/** The authority's own durable memory of certificates and revocations (SQLite, synchronous=FULL). */
export class IssuanceStore {
  private readonly database: DatabaseSync;

  /** Opens or makes the file, readable by its owner only. @throws MoveError `AUTHORITY_UNREADABLE`. */
  constructor(path: string) {
    createPrivately(path);
    this.database = new DatabaseSync(path, { timeout: 5_000 });
    this.database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    const version = this.database.prepare('PRAGMA user_version').get()?.user_version;
    if (version === 0) this.database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    else if (version !== SCHEMA_VERSION) {
      this.database.close();
      throw new MoveError(
        'AUTHORITY_UNREADABLE',
        `The list of issued certificates was written by another version of MOVE Console (${version}). Open it with that version.`,
        { version },
      );
    }
    this.database.exec(RENEWALS);
  }

  /** Notes that a certificate may be renewed, as the first of its family or as one of it. */
  addToFamily(serial: string, family: { id: string; allowed: number }): void {
    this.database.prepare('INSERT INTO renewal VALUES (?, ?, ?)').run(serial, family.id, family.allowed);
  }

  /** The certificates that renew one another and of which this is one; null where none may be renewed. */
  familyOf(serial: string): RenewalFamily | null {
    const rows = this.database
      .prepare(
        'SELECT serial, family, allowed FROM renewal WHERE family = (SELECT family FROM renewal WHERE serial = ?) ORDER BY rowid',
      )
      .all(serial.toUpperCase());
    const [first] = rows;
    if (!first) return null;
    return {
      id: String(first.family),
      allowed: Number(first.allowed),
      serials: rows.map((row) => String(row.serial)),
    };
  }

  add(certificate: IssuedCertificate, certificatePem: string): void {
    this.database
      .prepare('INSERT INTO issued VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)')
      .run(
        certificate.serial,
        certificate.name,
        certificate.profile,
        JSON.stringify(certificate.services),
        certificate.issuedAt,
        certificate.notBefore,
        certificate.notAfter,
        certificate.fingerprint256,
        certificatePem,
      );
  }

  find(serial: string): (IssuedCertificate & { certificatePem: string }) | null {
    const row = this.database.prepare('SELECT * FROM issued WHERE serial = ?').get(serial.toUpperCase());
    return row ? { ...fromRow(row), certificatePem: String(row.certificate_pem) } : null;
  }

  /** Marks as revoked what is not yet revoked. */
  revoke(serial: string, revokedAt: number, reason: RevocationReason): void {
    this.database
      .prepare('UPDATE issued SET revoked_at = ?, reason = ? WHERE serial = ? AND revoked_at IS NULL')
      .run(revokedAt, reason, serial.toUpperCase());
  }

  list(now: number, options: ListOptions): IssuedCertificate[] {
    const limit = Math.max(1, Math.min(options.limit ?? 1_000, 10_000));
    return this.database
      .prepare('SELECT * FROM issued WHERE not_after >= ? ORDER BY issued_at DESC, rowid DESC LIMIT ?')
      .all(options.includeExpired ? 0 : now, limit)
      .map(fromRow);
  }

  /** Those of some profiles that hold: in their time and not revoked. */
  holding(profiles: readonly ProfileName[], now: number): (IssuedCertificate & { certificatePem: string })[] {
    return profiles.flatMap((profile) =>
      this.database
        .prepare(
          'SELECT * FROM issued WHERE profile = ? AND revoked_at IS NULL AND not_after >= ? ORDER BY rowid',
        )
        .all(profile, now)
        .map((row) => ({ ...fromRow(row), certificatePem: String(row.certificate_pem) })),
    );
  }

  /** Revoked certificates whose time was not over at `since`. */
  revoked(since: number): IssuedCertificate[] {
    return this.database
      .prepare(
        'SELECT * FROM issued WHERE revoked_at IS NOT NULL AND not_after >= ? ORDER BY revoked_at, serial',
      )
      .all(since)
      .map(fromRow);
  }

  /** The number of the next revocation list; each is given out once, also across restarts. */
  nextRevocationListNumber(): number {
    const row = this.database
      .prepare('UPDATE revocation_list SET number = number + 1 RETURNING number')
      .get();
    return Number(row?.number);
  }

  close(): void {
    this.database.close();
  }
}

/** Leaves a file that is there alone: to open and close it would drop SQLite's locks on it (POSIX semantics). */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function fromRow(row: Record<string, SQLOutputValue>): IssuedCertificate {
  return {
    serial: String(row.serial),
    name: String(row.name),
    profile: String(row.profile) as ProfileName,
    services: JSON.parse(String(row.services)) as string[] | 'any',
    issuedAt: Number(row.issued_at),
    notBefore: Number(row.not_before),
    notAfter: Number(row.not_after),
    revokedAt: row.revoked_at === null ? null : Number(row.revoked_at),
    reason: row.reason === null ? null : (String(row.reason) as RevocationReason),
    fingerprint256: String(row.fingerprint),
  };
}
