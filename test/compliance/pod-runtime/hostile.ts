import type { PodSpec } from '../../../core/pods/port.ts';

/*
 * A service that turns on its host when it is asked to. It answers over HTTP on port 80, one request a connection,
 * and does its harm in a child with a process group of its own:
 *   /fork       begins a fork bomb that goes on at whatever it can get
 *   /memory     takes memory and touches it, without end, a megabyte in 5 ms so that it can be watched
 *   /calm       ends what it has begun
 *   /dial?A&P   says whether a TCP connection to A, port P, came about within half a second
 *   /big        answers with 1,000,000 bytes
 */
const program = `
use strict; use IO::Socket::INET; $SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 64, ReuseAddr => 1) or die; my $child;
sub begin { my $harm = shift; $child = fork; return if $child; setpgrp(0, 0); close $server; $harm->(); exit 0 }
while (1) {
  my $client = $server->accept or next; my $line = <$client> // ''; my $answer = "hostile\\n";
  while (my $head = <$client>) { last if $head =~ /^\\r?\\n/ }
  if ($line =~ m{ /fork }) { begin(sub { close $client; while (1) { fork } }) }
  elsif ($line =~ m{ /memory }) { begin(sub { close $client; my @held; while (1) { push @held, 'x' x 1_000_000; select(undef, undef, undef, 0.005) } }) }
  elsif ($line =~ m{ /calm }) { if ($child) { for (1 .. 200) { kill 'KILL', -$child } } }
  elsif ($line =~ m{ /dial\\?([0-9.]+)&(\\d+) }) {
    my $out = IO::Socket::INET->new(PeerAddr => $1, PeerPort => $2, Timeout => 0.5); $answer = $out ? "connected\\n" : "no\\n"; }
  elsif ($line =~ m{ /big }) { $answer = 'x' x 1_000_000 }
  print $client "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " . length($answer) . "\\r\\n\\r\\n$answer"; close $client;
}`;

/** A hostile neighbour of the suite's pod, in the same image, with bounds and a few places to dial out to. */
export function hostileSpec(neighbour: PodSpec, dialOut: NonNullable<PodSpec['dialOut']>): PodSpec {
  return {
    id: 'hostile',
    service: 'hostile.example',
    image: neighbour.image,
    command: ['perl', '-e', program],
    ports: [80],
    storage: [],
    hostname: 'hostile',
    probe: { kind: 'http', port: 80, path: '/', status: 200 },
    limits: { processors: 0.5, memoryMiB: 64, processes: 24, sendMbit: 8 },
    dialOut,
    serviceAddress: '100.64.9.2',
    sourceAddress: '100.64.9.3',
  };
}
