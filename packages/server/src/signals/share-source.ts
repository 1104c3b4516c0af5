import type { Sink, Source } from '@caegis/guard'
import type { Cutoff } from '@caegis/protocol'

/**
 * One source for the server's two guards; it starts when both are there. The guard of the stream endpoints hears of everything but what cuts off a whole tenant:
 * an emergency stop must not end the tokens with which receivers hear of it. What ends one application's tokens ends its stream tokens too. It is left no location
 * conditions: stream tokens have none.
 */
export function shareSource(source: Source): { everything: Source; streams: Source } {
  const sinks: Sink[] = []
  const attach = (sink: Sink): void => {
    if (sinks.push(sink) === 2) source.start(toAll(sinks))
  }
  const close = () => source.close()
  return {
    everything: { start: attach, close },
    streams: { start: (sink) => attach({ ...sink, rules() {}, merge: (cutoffs, seq) => sink.merge(withoutTenants(cutoffs), seq) }), close },
  }
}

function toAll(sinks: readonly Sink[]): Sink {
  const each = (tell: (sink: Sink) => void) => {
    for (const sink of sinks) tell(sink)
  }
  return {
    merge(given, seq) {
      const cutoffs = [...given]
      each((sink) => sink.merge(cutoffs, seq))
    },
    rules: (parts) => each((sink) => sink.rules(parts)),
    get rulesVersion() {
      return Math.max(...sinks.map((sink) => sink.rulesVersion))
    },
    synced: (head) => each((sink) => sink.synced(head)),
    heard: () => each((sink) => sink.heard()),
    outOfSync: (reason) => each((sink) => sink.outOfSync(reason)),
    keysChanged: () => each((sink) => sink.keysChanged()),
    count: (outcome, detail) => each((sink) => sink.count(outcome, detail)),
  }
}

function* withoutTenants(cutoffs: Iterable<Cutoff>): Generator<Cutoff> {
  for (const cutoff of cutoffs) if (cutoff.kind !== 'tenant') yield cutoff
}
