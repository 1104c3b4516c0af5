import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { type Loop, PASSWORD, SCOPE, SECRET } from './loop.ts'

/** A tenant whose logs are read: people, an API that calls on, a client of each kind, and daemons that may read logs, edit, and neither. */
export const LOGS_TENANT = (name = 'contoso') =>
  JSON.stringify({
    tenant: { name, displayName: name },
    groups: [{ displayName: 'finance' }],
    users: ['admin', 'alice', 'bob', 'carol'].map((one) => ({
      ...{ userPrincipalName: `${one}@contoso.test`, displayName: one, password: PASSWORD },
      ...(one === 'admin' ? { roles: ['admin'] } : {}),
    })),
    applications: [
      {
        ...{ appId: 'files-api', displayName: 'Files', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        ...{ permissions: ['api://mail/Mail.Read'], appRoles: [{ value: 'Auditor' }] },
      },
      { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', displayName: 'Files on the desk', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      { appId: 'album', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], consent: 'required' },
      {
        ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
        permissions: [
          ...[
            'User.ReadWrite.All',
            'GroupMember.ReadWrite.All',
            'Group.ReadWrite.All',
            'Application.ReadWrite.All',
            'Device.ReadWrite.All',
            'AuditLog.Read.All',
          ],
          ...['Organization.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All', 'SecurityEvents.ReadWrite.All', 'RoleManagement.ReadWrite.Directory'],
        ].map((one) => `graph/${one}`),
      },
      { appId: 'weak', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.Read.All'] },
    ],
  })

export interface SignInRecord extends Record<string, unknown> {
  id: string
  createdDateTime: string
  status: { errorCode: number; failureReason: string }
  authenticationProcessingDetails: { key: string; value: string }[]
}

/** Reads the logs through the admin API, as the daemon `nightly`: with a token from before, so that reading leaves no record of its own. */
export async function createLogReader(loop: Loop, authority = loop.authority) {
  const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${loop.origin}/.default` }
  const answer = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
  const { access_token: token } = (await answer.json()) as { access_token: string }
  const get = async (path: string) => {
    await loop.server.store.flush()
    const response = await fetch(path.startsWith('https:') ? path : `${loop.origin}/v1.0/auditLogs/${path}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    return {
      status: response.status,
      body: (await response.json()) as { value: SignInRecord[]; '@odata.nextLink'?: string; error?: { code: string } },
    }
  }
  const list = async (of: string, filter?: string) => {
    const { status, body } = await get(`${of}?$top=999${filter === undefined ? '' : `&$filter=${encodeURIComponent(filter)}`}`)
    if (status !== 200) throw new Error(`the log answered ${status} ${JSON.stringify(body)}`)
    return body.value
  }
  return {
    get,
    list,
    /** What the log says of what was done, oldest first. */
    async during(work: () => Promise<unknown>, of = 'signIns'): Promise<SignInRecord[]> {
      const before = new Set((await list(of)).map(({ id }) => id))
      await work()
      return (await list(of)).filter(({ id }) => !before.has(id)).reverse()
    },
    admin: (method: string, path: string, body?: unknown) =>
      fetch(`${loop.origin}/v1.0${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
  }
}

/** Enters the code of a device in a browser, signs in there and confirms. */
export async function approveDevice(verificationUri: string, userCode: string, username: string): Promise<void> {
  const browser = createBrowser()
  let page = await browser.open(verificationUri)
  page = await browser.open(page.url.href, { user_code: userCode })
  page = await browser.open(page.url.href, { confirm: 'yes' })
  page = await browser.open(page.url.href, { username, password: PASSWORD })
  if (!page.text.includes('You are signed in')) throw new Error(`not confirmed: ${page.text.replace(/<[^>]*>/g, ' ')}`)
}
