import { useSyncExternalStore } from 'react'
import type { Journal } from './journal.ts'

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 })

/** The hops, newest first, so that what happens now is in sight. */
export function LogList({ journal }: { journal: Journal }) {
  const hops = useSyncExternalStore(journal.subscribe, journal.list)
  return (
    <section className="card" aria-labelledby="log">
      <div className="row">
        <h2 id="log">What happened</h2>
        {hops.length > 0 ? (
          <button type="button" className="quiet" onClick={journal.clear}>
            Clear
          </button>
        ) : null}
      </div>
      <div data-testid="log" role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="log">
        <ol className="log">
          {hops.toReversed().map((hop) => (
            <li key={hop.id} data-tone={hop.tone}>
              <time dateTime={new Date(hop.at).toISOString()}>{clock.format(hop.at)}</time>
              <span className="text">{hop.text}</span>
              {hop.times > 1 ? <span className="times">{hop.times} times</span> : null}
              {hop.took === undefined ? null : <span className="took">{Math.round(hop.took)} ms</span>}
            </li>
          ))}
        </ol>
        {hops.length === 0 ? <p className="hint">Nothing yet. Each step between this page, the API and the issuer will show here.</p> : null}
      </div>
    </section>
  )
}
