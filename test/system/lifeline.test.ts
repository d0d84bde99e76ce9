import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { type Connected, service, sha256, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();

/** Stands in the pod's own root: it travels with the pod. */
const ownPath = '/icons/blank.gif';
/** Stands in the storage at home, and is too large to be read ahead. */
const storedPath = '/catalogue.bin';
/** Appends to a file in the mounted storage, waits for the storage to have it, and reads it back, for 12 s. */
const workOnStorage = `
mount=$(findmnt --noheadings --first-only --types fuse.sshfs --output TARGET)
exec perl -MTime::HiRes=time -MIO::Handle -e '
  my ($path, $end, $last, $longest, $rounds, @faults) = ("$ARGV[0]/rotations", time + 12, time, 0, 0);
  unlink $path;
  open(my $file, "+>>", $path) or push @faults, "open: $!";
  while (time < $end && @faults < 5) {
    my $line = sprintf "%08d\\n", $rounds;
    defined syswrite($file, $line) or push @faults, "write: $!";
    $file->sync or push @faults, "sync: $!";
    sysseek($file, -9, 2); my $back = "";
    defined sysread($file, $back, 9) or push @faults, "read: $!";
    push @faults, "other bytes" if $back ne $line;
    my $now = time; $longest = $now - $last if $now - $last > $longest; $last = $now; $rounds++;
  }
  close($file) or push @faults, "close: $!";
  unlink $path or push @faults, "unlink: $!";
  my $list = join ",", map { qq("$_") } @faults;
  printf qq({"rounds":%d,"longestMs":%d,"faults":[%s]}), $rounds, $longest * 1000, $list;
' "$mount"
`;

/** Stands nowhere: whoever asks for it makes the service ask the storage. */
const missingPath = '/nothing-of-this-name';

describe.skipIf(why !== null)(`the lifeline${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;
  let own: string;

  beforeAll(async () => {
    world = await World.up();
    person = await world.connect('client-1');
    own = (await person.fetch(ownPath)).sha256;
    expect((await world.move({ to: 'b1' })).state).toBe('done');
  });

  afterAll(() => world?.down());

  const stored = sha256(catalogue());
  const expectOwn = async () =>
    expect(await person.fetch(ownPath)).toMatchObject({ code: 0, status: 200, sha256: own });
  const storedAnswers = async () => {
    const answer = await person.fetch(storedPath, { limitSeconds: 20 });
    return answer.code === 0 && answer.status === 200 && answer.sha256 === stored;
  };

  /** Only the storage can say that it has no such file. */
  const storageAnswers = async () => (await person.fetch(missingPath)).status === 404;
  const ownAnswer = async () => {
    const answer = await person.fetch(ownPath, { limitSeconds: 5 });
    return {
      right: answer.code === 0 && answer.status === 200 && answer.sha256 === own,
      seconds: answer.seconds,
    };
  };
  /** Asks for what is in the service's memory again and again; `slow` are those not answered right within 2 s. */
  const keepAskingForOwn = () => {
    const slow: unknown[] = [];
    let stopped = false;
    const asking = (async () => {
      while (!stopped) {
        const answer = await ownAnswer();
        if (!answer.right || answer.seconds > 2) slow.push(answer);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    return {
      slow,
      forMs: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
      async stop() {
        stopped = true;
        await asking;
      },
    };
  };
  const homeAgain = async () => {
    await world.until('the old home answers again', (state) => state.sites.a1?.reach === 'up', 60_000);
    await until('its storage answers', storageAnswers, 60_000);
    await until('its files are read again', storedAnswers, 60_000);
  };

  it('reaches the storage that stayed at home', async () => {
    await until('the stored file is read over the lifeline', storedAnswers, 60_000);
    expect(world.state.lifelines[service]).toMatchObject({ fromSite: 'a1', toSite: 'b1', state: 'open' });
    await expectOwn();
  }, 90_000);

  it('carries files, written through and read, over three changes of the stone’s address without an error', async () => {
    await until('the stored file is read over the lifeline', storedAnswers, 60_000);
    const working = world.hosts.run('b1', workOnStorage, { limitMs: 60_000 });
    for (let turn = 0; turn < 3; turn += 1) {
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      // Its old addresses go at once: nothing that uses them can go on by itself.
      await world.rotate('stone-a', true);
    }
    const done = JSON.parse((await working).stdout) as {
      rounds: number;
      faults: string[];
      longestMs: number;
    };
    process.stdout.write(`${done.rounds} writes over three rotations, longest gap ${done.longestMs} ms\n`);
    expect(done.faults).toEqual([]);
    expect(done.rounds).toBeGreaterThan(50);
    // The console reaches the old home through the same stone, by another connection that has to be made anew.
    await world.until('it is shown as open', (state) => state.lifelines[service]?.state === 'open', 30_000);
    expect((await world.journal()).filter(({ type }) => type === 'lifeline.cut')).toEqual([]);
  }, 120_000);

  it('keeps its storage while it moves on to a third site, also when that is taken back', async () => {
    await until('its files are read', storedAnswers, 60_000);
    for (const pauseAt of ['freeze', 'dump'] as const) {
      const paused = await world.move({ to: 'c1', pauseAt });
      expect(paused.pausedBefore).toBe(pauseAt);
      if (pauseAt === 'freeze') expect(await storageAnswers()).toBe(true);
      await world.client.call('move.cancel', { move: paused.id });
      expect((await world.moved(paused.id)).state).toBe('rolled-back');
      expect(await storageAnswers()).toBe(true);
    }
    expect((await world.move({ to: 'c1' })).state).toBe('done');
    await until('its files are read at the third site', storedAnswers, 10_000);
    expect((await world.move({ to: 'b1' })).state).toBe('done');
    await until('its files are read again', storedAnswers, 10_000);
  }, 120_000);

  it.each([
    { host: 'a1', link: 'secondary' },
    { host: 'stone-a', link: 'internal' },
    { host: 'stone-a', link: 'global' },
  ] as const)(
    'when it is cut at the $link link of $host, breaks what needs it and nothing else, until it is mended',
    async ({ host, link }) => {
      await world.setLink(host, link, false);
      try {
        for (let round = 0; round < 3; round += 1) {
          await expectOwn();
          const broken = await person.fetch(missingPath, { limitSeconds: 3 });
          expect(broken).toMatchObject({ code: 0, status: 403 });
          await expectOwn();
        }
        await world.until('the cut is seen', (state) => state.lifelines[service]?.state === 'cut', 30_000);
        await expectOwn();
      } finally {
        await world.setLink(host, link, true);
      }
      await homeAgain();
      await world.until(
        'the lifeline is open',
        (state) => state.lifelines[service]?.state === 'open',
        15_000,
      );
    },
    150_000,
  );

  it('leaves what is in its memory answering when its old home is switched off while people use it', async () => {
    await homeAgain();
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    expect((await world.move({ to: 'b1' })).state).toBe('done');
    const people = await person.askOften('/', 10);
    const strangers = await person.askOften(missingPath, 10);
    const asked = keepAskingForOwn();
    try {
      await until('people are answered from the storage', () => people.count('ok') > 50, 20_000);
      await world.setPower('a1', false);
      await asked.forMs(3_000);
      // What is known of the page is trusted for 20 s, and its bytes are here.
      expect(people.count('wrong')).toBe(0);
      await asked.forMs(22_000);
      expect(people.count('wrong')).toBeGreaterThan(0);
    } finally {
      await asked.stop();
      await people.stop();
      await strangers.stop();
      await world.setPower('a1', true);
    }
    expect(asked.slow).toEqual([]);
    expect([people.count('timeout'), strangers.count('timeout')]).toEqual([0, 0]);
    await homeAgain();
  }, 180_000);

  it('does so too when its old home is switched off right after the commit', async () => {
    await homeAgain();
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    const paused = await world.move({ to: 'b1', pauseAt: 'announce' });
    expect(paused).toMatchObject({ state: 'committed', pausedBefore: 'announce' });
    const people = await person.askOften('/', 10);
    const strangers = await person.askOften(missingPath, 10);
    try {
      await world.setPower('a1', false);
      const ended = world.proceed(paused.id);
      // Nobody reaches the service before its fence is lifted.
      await until('what is in its memory answers', async () => (await ownAnswer()).right, 10_000);
      const asked = keepAskingForOwn();
      await asked.forMs(6_000);
      await asked.stop();
      expect(asked.slow).toEqual([]);
      expect((await ended).state).toBe('done');
      expect(await world.copies()).toMatchObject([{ site: 'b1', state: 'running', thawed: true }]);
    } finally {
      await people.stop();
      await strangers.stop();
      await world.setPower('a1', true);
    }
    await homeAgain();
    expect(await world.copies()).toMatchObject([{ site: 'b1', state: 'running', thawed: true }]);
  }, 180_000);
});
