import { StringDecoder } from 'node:string_decoder';

const enter = /[\r\n]/;
const interrupt = '\u0003';
const endOfInput = '\u0004';
const erase = ['\b', '\u007f'];
const longestSecret = 1024;

/**
 * Asks for a secret on the terminal without showing what is typed; null where nobody sits at one or the
 * person gives up.
 */
export function askSecret(question: string): Promise<string | null> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) return Promise.resolve(null);
  return new Promise((resolve) => {
    const decoder = new StringDecoder('utf8');
    let typed = '';
    const finish = (answer: string | null) => {
      stdin.off('data', take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      resolve(answer);
    };
    const take = (chunk: Buffer) => {
      for (const character of decoder.write(chunk)) {
        if (enter.test(character)) return finish(typed === '' ? null : typed);
        if (character === interrupt) {
          finish(null);
          process.kill(process.pid, 'SIGINT');
          return;
        }
        if (character === endOfInput) return finish(null);
        if (erase.includes(character)) typed = [...typed].slice(0, -1).join('');
        else if (typed.length < longestSecret) typed += character;
      }
    };
    stderr.write(question);
    stdin.setRawMode(true);
    stdin.on('data', take);
    stdin.resume();
  });
}
