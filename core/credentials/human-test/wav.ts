/** Samples a second in the human test's sounds. */
export const sampleRate = 11_025;

/** A WAV file (RIFF, PCM, one channel, 8 bits a sample). Samples beyond -1 to 1 are cut off. */
export function encodeWav(samples: Float32Array): Buffer {
  const file = Buffer.alloc(44 + samples.length);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(36 + samples.length, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20); // PCM
  file.writeUInt16LE(1, 22); // channels
  file.writeUInt32LE(sampleRate, 24);
  file.writeUInt32LE(sampleRate, 28); // bytes a second
  file.writeUInt16LE(1, 32); // bytes a frame
  file.writeUInt16LE(8, 34); // bits a sample
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(samples.length, 40);
  for (let index = 0; index < samples.length; index += 1)
    file[44 + index] = Math.min(255, Math.max(0, Math.round(128 + 127 * samples[index]!)));
  return file;
}
