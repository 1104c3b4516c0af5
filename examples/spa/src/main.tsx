import { PublicClientApplication } from '@azure/msal-browser'
import { MsalProvider } from '@azure/msal-react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { createCalls } from './calls.ts'
import { loadConfig } from './config.ts'
import { createJournal } from './journal.ts'

const root = createRoot(document.getElementById('root') as HTMLElement)

try {
  const config = await loadConfig()
  const journal = createJournal(sessionStorage)
  const page = new URL('./', document.baseURI).href
  const msal = new PublicClientApplication({
    auth: {
      clientId: config.clientId,
      authority: config.authority,
      knownAuthorities: config.knownAuthorities,
      redirectUri: page,
      postLogoutRedirectUri: page,
      // The one setting that turns continuous access on: "I can answer a claims challenge."
      clientCapabilities: ['cp1'],
    },
    system: { protocolMode: 'OIDC' },
  })
  await msal.initialize()
  let returned = false
  try {
    const result = await msal.handleRedirectPromise()
    if (result) msal.setActiveAccount(result.account)
    returned = result !== null
  } catch (error) {
    journal.add('bad', `Sign-in failed: ${error instanceof Error && 'errorCode' in error ? error.errorCode : 'unknown reason'}`)
  }
  const account = msal.getActiveAccount() ?? msal.getAllAccounts()[0]
  const calls = account && createCalls(msal, account, config, journal)
  root.render(
    <MsalProvider instance={msal}>
      <App config={config} journal={journal} calls={calls} />
    </MsalProvider>,
  )
  await calls?.resume(returned)
} catch (error) {
  root.render(
    <main className="page">
      <p className="card" role="alert">
        This page could not start: {error instanceof Error ? error.message : 'unknown reason'}
      </p>
    </main>,
  )
}
