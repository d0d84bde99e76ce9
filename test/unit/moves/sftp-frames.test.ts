import { describe, expect, it } from 'vitest';
import {
  frameBytesAtMost,
  isRegularFile,
  SftpFields,
  type SftpFrame,
  SftpFrameReader,
  sftpFrame,
  sftpNumber,
  sftpString,
} from '../../../core/moves/sftp/frames.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

describe('messages of SFTP', () => {
  it.each(Array.from({ length: 200 }, (_, seed) => seed + 1))(
    'are the same however their bytes are cut (seed %i)',
    (seed) => {
      const { below, bytes: some } = seededRandom(seed);
      const sent = Array.from({ length: 1 + below(12) }, () => ({
        type: 1 + below(255),
        payload: some(4 + below(below(4) === 0 ? 70_000 : 40)),
      }));
      const bytes = Buffer.concat(sent.map(({ type, payload }) => sftpFrame(type, payload)));
      const got: SftpFrame[] = [];
      const reader = new SftpFrameReader((frame) => got.push(frame));
      const most = 1 + below(below(2) === 0 ? 9 : 40_000);
      for (let at = 0; at < bytes.length; ) {
        const piece = 1 + below(most);
        reader.push(bytes.subarray(at, at + piece));
        at += piece;
      }
      expect(got.map(({ type }) => type)).toEqual(sent.map(({ type }) => type));
      expect(got.every(({ payload }, index) => payload.equals(sent[index]!.payload))).toBe(true);
    },
  );

  it('have a longest length', () => {
    const reader = new SftpFrameReader(() => undefined);
    reader.push(sftpNumber(frameBytesAtMost));
    expect(() => new SftpFrameReader(() => undefined).push(sftpNumber(frameBytesAtMost + 1))).toThrow(
      expect.objectContaining({ code: 'SFTP_FRAME_TOO_LARGE' }),
    );
  });

  it.each([0, 1, 4])('have a shortest length: %i bytes are none', (length) => {
    expect(() => new SftpFrameReader(() => undefined).push(sftpNumber(length))).toThrow(
      expect.objectContaining({ code: 'SFTP_MALFORMED' }),
    );
  });

  it('refuse fields that are cut off', () => {
    const malformed = expect.objectContaining({ code: 'SFTP_MALFORMED' });
    expect(() => new SftpFields(Buffer.alloc(3)).number()).toThrow(malformed);
    expect(() => new SftpFields(sftpString('name').subarray(0, 7)).string()).toThrow(malformed);
    expect(() => new SftpFields(sftpNumber(0xffff_ffff)).string()).toThrow(malformed);
    expect(() => isRegularFile(sftpNumber(4))).toThrow(malformed);
  });

  it('tell a regular file from all else', () => {
    const mode = (bits: number) => Buffer.concat([sftpNumber(4), sftpNumber(bits)]);
    expect(isRegularFile(mode(0o100644))).toBe(true);
    expect(isRegularFile(Buffer.concat([sftpNumber(7), Buffer.alloc(16), sftpNumber(0o100600)]))).toBe(true);
    expect(isRegularFile(mode(0o040755))).toBe(false);
    expect(isRegularFile(mode(0o120777))).toBe(false);
    expect(isRegularFile(sftpNumber(0))).toBe(false);
  });
});
