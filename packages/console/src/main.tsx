import '@mantine/core/styles.css'
import './style.css'
import { Center, Loader, MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { ApiError, createApi } from './api/client.ts'
import { ApiContext } from './api/context.ts'
import { isStaying } from './api/leaving.ts'
import { LiveProvider } from './api/live.tsx'
import { ConfirmProvider } from './parts/confirm.tsx'
import { NoticeProvider } from './parts/notices.tsx'
import { SessionContext } from './session/context.ts'
import { openSession, type Session } from './session/session.ts'
import { baseOf, lastTenant, rememberTenant, takeGoing, tenantOf } from './session/tenant.ts'
import { ChooseTenant, SignInFailed } from './shell/door.tsx'
import { LastWordProvider } from './shell/last-word.tsx'
import { Shell } from './shell/shell.tsx'
import { t } from './texts/texts.ts'
import { colors, theme } from './theme.ts'

/** Style elements that the components make are allowed by the nonce of this very answer. */
const nonce = document.querySelector<HTMLMetaElement>('meta[property=csp-nonce]')?.nonce ?? ''
Object.assign(globalThis, { __webpack_nonce__: nonce })

const root = createRoot(document.getElementById('root') as HTMLElement)

function show(content: ReactNode): void {
  root.render(
    <MantineProvider theme={theme} cssVariablesResolver={colors} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      {content}
    </MantineProvider>,
  )
}

const isHome = location.pathname === '/' || location.pathname === '/console' || location.pathname === '/console/'
const returning = isHome && /[#&](code|error)=/.test(location.hash)
const going = returning ? takeGoing() : undefined
const tenant = tenantOf(going ?? location.pathname)

if (tenant === undefined) {
  const last = location.pathname === '/' ? lastTenant() : undefined
  if (last === undefined) show(<ChooseTenant />)
  else location.replace(baseOf(last))
} else {
  show(
    <Center mih="100vh" role="status" aria-label={t('session.opening')}>
      <Loader />
    </Center>,
  )
  try {
    const opened = await openSession(location.origin, tenant)
    if ('failed' in opened) {
      const { message, error, retry } = opened.failed
      show(<SignInFailed error={message || error} retry={retry} />)
    } else if ('session' in opened) {
      history.replaceState(null, '', going ?? `${location.pathname}${location.search}`)
      rememberTenant(tenant)
      show(<Console session={opened.session} />)
    }
  } catch {
    show(<SignInFailed error={t('session.unreachable')} retry={async () => location.reload()} />)
  }
}

function Console({ session }: { session: Session }) {
  // What the server refused is refused again; only what did not arrive is worth another try.
  const queries = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5000,
        enabled: isStaying,
        retry: (failures, error) => !(error instanceof ApiError) && !session.ended() && failures < 2,
      },
    },
  })
  return (
    <SessionContext value={session}>
      <ApiContext value={createApi(location.origin, session.fetch)}>
        <QueryClientProvider client={queries}>
          <LiveProvider>
            <Router base={baseOf(session.tenant)}>
              <NoticeProvider>
                <ConfirmProvider>
                  <LastWordProvider>
                    <Shell />
                  </LastWordProvider>
                </ConfirmProvider>
              </NoticeProvider>
            </Router>
          </LiveProvider>
        </QueryClientProvider>
      </ApiContext>
    </SessionContext>
  )
}
