import { useMsal } from '@azure/msal-react'
import { useSyncExternalStore } from 'react'
import type { Calls } from './calls.ts'
import type { Config } from './config.ts'
import type { Journal } from './journal.ts'
import { LogList } from './log-list.tsx'
import { TokenPanel } from './token-panel.tsx'

interface Props {
  config: Config
  journal: Journal
  /** Absent while nobody is signed in. */
  calls: Calls | undefined
}

export function App({ config, journal, calls }: Props) {
  const { instance, accounts } = useMsal()
  const account = instance.getActiveAccount() ?? accounts[0]
  return (
    <main className="page">
      <header className="top">
        <h1>Files</h1>
        {account && calls ? (
          <div className="who">
            <span data-testid="user">{account.name || account.username || account.localAccountId}</span>
            <button type="button" className="quiet" data-testid="sign-out" onClick={calls.signOut}>
              Sign out
            </button>
          </div>
        ) : null}
      </header>
      {calls ? <Panel calls={calls} config={config} /> : <Welcome signIn={() => instance.loginRedirect({ scopes: config.scopes })} />}
      <LogList journal={journal} />
    </main>
  )
}

function Welcome({ signIn }: { signIn: () => void }) {
  return (
    <section className="card" aria-labelledby="welcome">
      <h2 id="welcome">See access end at once</h2>
      <p>Sign in, let this page call a protected API, and have an administrator take the access back meanwhile.</p>
      <button type="button" data-testid="sign-in" onClick={signIn}>
        Sign in
      </button>
    </section>
  )
}

function Panel({ calls, config }: { calls: Calls; config: Config }) {
  const state = useSyncExternalStore(calls.subscribe, calls.state)
  const [code = '', ...words] = (state.outcome ?? '').split(' ')
  return (
    <section className="card panel" aria-label="The API">
      <div>
        <h2 className="label" id="outcome">
          Last answer of the API
        </h2>
        <output className="outcome" data-testid="outcome" data-good={code === '200'} data-empty={!state.outcome} aria-labelledby="outcome">
          {state.outcome ? (
            <>
              <strong>{code}</strong> {words.join(' ')}
            </>
          ) : (
            'not called yet'
          )}
        </output>
      </div>
      <TokenPanel token={state.token} />
      <div className="actions">
        <button type="button" data-testid="call" onClick={calls.call} disabled={state.busy && !state.auto}>
          Call the API
        </button>
        <label className="switch">
          <input type="checkbox" data-testid="auto" checked={state.auto} onChange={(event) => calls.setAuto(event.target.checked)} />
          Call every second
        </label>
        {config.console ? (
          <a href={config.console} target="_blank" rel="noreferrer">
            Open the console to revoke
          </a>
        ) : null}
      </div>
    </section>
  )
}
