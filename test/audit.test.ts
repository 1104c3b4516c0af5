import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { breakRows } from './broken-rows.ts'
import { asPerson } from './emergency.ts'
import { createFlow } from './flow.ts'
import { createLogReader, LOGS_TENANT } from './logs-tenant.ts'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

interface AuditRecord {
  id: string
  activityDisplayName: string
  activityDateTime: string
  category: string
  operationType: string
  correlationId: string
  result: string
  resultReason: string
  initiatedBy: { user: Record<string, unknown> | null; app: Record<string, unknown> | null }
  targetResources: {
    id: string
    displayName: string | null
    type: string
    modifiedProperties: { displayName: string; oldValue: string; newValue: string }[]
  }[]
}

let ahead = 0
let loop: Loop
let log: Awaited<ReturnType<typeof createLogReader>>
const ids: Record<string, string> = {}
/** Everything that must be in no record. */
const secrets = [PASSWORD, SECRET, 'new-password-of-alice-1', 'own-password-of-bob-22', 'wrong-password-1']

beforeAll(async () => {
  loop = await startLoop({ tenant: LOGS_TENANT(), now: () => Date.now() + ahead * 1000 })
  log = await createLogReader(loop)
  for (const { id, upn } of await loop.server.store.db.selectFrom('users').select(['id', 'upn']).execute()) ids[upn.split('@')[0] as string] = id
  for (const { id, display_name } of await loop.server.store.db.selectFrom('groups').select(['id', 'display_name']).execute()) ids[display_name] = id
})
afterAll(() => loop.close())

const during = async (work: () => Promise<unknown>) => (await log.during(work, 'directoryAudits')) as unknown as AuditRecord[]
/** One write as the daemon, which has to leave one record. */
async function written(method: string, path: string, body?: unknown) {
  let answer: Response | undefined
  const records = await during(async () => {
    answer = await log.admin(method, path, body)
    expect(answer.status, `${method} ${path}`).toBeLessThan(300)
  })
  expect(
    records.map((one) => one.activityDisplayName),
    `${method} ${path}`,
  ).toHaveLength(1)
  const [record] = records as [AuditRecord]
  expect(record.correlationId).toBe(answer?.headers.get('caegis-txn'))
  expect(record).toMatchObject({ result: 'success', initiatedBy: { user: null, app: { appId: 'nightly', displayName: 'nightly' } } })
  const text = answer && (await answer.text())
  return { record, body: text ? JSON.parse(text) : undefined }
}
const targetsOf = ({ targetResources }: AuditRecord) => targetResources.map(({ type, id }) => `${type} ${id}`)
const changesOf = ({ targetResources }: AuditRecord) =>
  Object.fromEntries(targetResources.flatMap((one) => one.modifiedProperties.map((it) => [it.displayName, [it.oldValue, it.newValue]])))

it('each write of the admin API is one record: what, by whom, to whom, and what it made of what', async () => {
  const alice = `User ${ids.alice}`
  const renamed = (await written('PATCH', '/users/alice@contoso.test', { displayName: 'Alice A.' })).record
  expect(renamed).toMatchObject({ activityDisplayName: 'Update user', category: 'UserManagement', operationType: 'Update' })
  expect(renamed.targetResources[0]).toMatchObject({ id: ids.alice, displayName: 'alice@contoso.test', type: 'User' })
  expect(changesOf(renamed)).toEqual({ displayName: ['"alice"', '"Alice A."'] })

  const disabled = (await written('PATCH', '/users/alice@contoso.test', { accountEnabled: false })).record
  expect([disabled.activityDisplayName, changesOf(disabled)]).toEqual(['Disable account', { accountEnabled: ['true', 'false'] }])
  expect((await written('PATCH', '/users/alice@contoso.test', { accountEnabled: true })).record.activityDisplayName).toBe('Enable account')
  // That there is a new password, and not a word of it.
  const reset = (await written('PATCH', '/users/alice@contoso.test', { passwordProfile: { password: 'new-password-of-alice-1' } })).record
  expect([reset.activityDisplayName, changesOf(reset)]).toEqual(['Reset user password', { password: [null, null] }])
  const revoked = (await written('POST', '/users/alice@contoso.test/revokeSignInSessions')).record
  expect([revoked.activityDisplayName, targetsOf(revoked)]).toEqual(['All sessions were revoked', [alice]])
  expect(revoked.targetResources[0]?.displayName).toBe('alice@contoso.test')

  const reference = { '@odata.id': `${loop.origin}/v1.0/directoryObjects/${ids.alice}` }
  const joined = (await written('POST', `/groups/${ids.finance}/members/$ref`, reference)).record
  expect([joined.activityDisplayName, joined.category, targetsOf(joined)]).toEqual([
    'Add member to group',
    'GroupManagement',
    [alice, `Group ${ids.finance}`],
  ])
  const left = (await written('DELETE', `/groups/${ids.finance}/members/${ids.alice}/$ref`)).record
  expect([left.activityDisplayName, left.operationType]).toEqual(['Remove member from group', 'Unassign'])
  const role = (await written('POST', '/servicePrincipals/files-api/appRoleAssignedTo', { principalId: ids.alice, appRoleId: 'Auditor' })).record
  expect([role.activityDisplayName, targetsOf(role), changesOf(role)]).toEqual([
    ...['Add app role assignment', [alice, 'Application files-api'], { appRole: [null, '"Auditor"'] }],
  ])

  const { record: secret, body } = await written('POST', '/servicePrincipals/files-api/addPassword', {
    passwordCredential: { displayName: 'second' },
  })
  secrets.push(body.secretText)
  expect([secret.activityDisplayName, secret.category, targetsOf(secret)]).toEqual([
    'Update application',
    'ApplicationManagement',
    ['Application files-api'],
  ])
  expect(changesOf(secret).credentials?.[1]).toContain('"displayName":"second"')
  const gone = (await written('POST', '/servicePrincipals/files-api/removePassword', { keyId: body.keyId })).record
  expect(changesOf(gone).credentials?.[0]).toContain('"displayName":"second"')
  const off = (await written('PATCH', '/servicePrincipals/mail-api', { accountEnabled: false })).record
  expect(changesOf(off)).toEqual({ enabled: ['true', 'false'] })

  const { kty, crv, x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const device = await written('POST', '/devices', { displayName: 'laptop', publicKey: { kty, crv, x, y } })
  expect([device.record.activityDisplayName, device.record.category, targetsOf(device.record)]).toEqual([
    'Add device',
    'Device',
    [`Device ${device.body.id}`],
  ])
  const lost = (await written('PATCH', `/devices/${device.body.id}`, { accountEnabled: false })).record
  expect([lost.activityDisplayName, changesOf(lost)]).toEqual(['Update device', { accountEnabled: ['true', 'false'] }])
  expect((await written('DELETE', `/devices/${device.body.id}`)).record.activityDisplayName).toBe('Delete device')
  const purged = (await written('DELETE', '/users/carol@contoso.test')).record
  expect([purged.activityDisplayName, purged.operationType, targetsOf(purged)]).toEqual(['Delete user', 'Delete', [`User ${ids.carol}`]])
})

it('what is told by its event alone has its words too', async () => {
  const bob = createFlow(loop, { username: 'bob@contoso.test' })
  const { accessToken } = await bob.tokens()
  const { sid, jti } = JSON.parse(Buffer.from(accessToken.split('.')[1] as string, 'base64url').toString())
  const token = (await written('POST', '/caegis/tokens/revoke', { id: jti })).record
  expect([token.category, targetsOf(token)]).toEqual(['UserManagement', [`Token ${jti}`]])
  const { value } = (await (await log.admin('GET', '/users/bob@contoso.test/oauth2PermissionGrants')).json()) as { value: { id: string }[] }
  const grant = (await written('DELETE', `/oauth2PermissionGrants/${value[0]?.id}`)).record
  expect(targetsOf(grant)).toEqual([`User ${ids.bob}`, 'Application files-native'])
  expect(grant.targetResources.map(({ displayName }) => displayName)).toEqual(['bob@contoso.test', 'Files on the desk'])
  const session = (await written('POST', `/caegis/sessions/${sid}/revoke`)).record
  expect([session.activityDisplayName, targetsOf(session)]).toEqual(['An administrator ended the session', [`User ${ids.bob}`, `Session ${sid}`]])
  const role = { '@odata.id': `${loop.origin}/v1.0/users/${ids.bob}` }
  expect((await written('POST', '/directoryRoles/admin/members/$ref', role)).record).toMatchObject({ activityDisplayName: 'Add member to role' })
  expect((await written('DELETE', `/directoryRoles/admin/members/${ids.bob}/$ref`)).record).toMatchObject({ category: 'RoleManagement' })
})

it('groups as objects, and streams, leave records too', async () => {
  const made = await written('POST', '/groups', { displayName: 'crew', mailEnabled: false, mailNickname: 'crew', securityEnabled: true })
  const id = made.body.id as string
  expect([made.record.activityDisplayName, targetsOf(made.record)]).toEqual(['Add group', [`Group ${id}`]])
  const renamed = (await written('PATCH', `/groups/${id}`, { displayName: 'the crew' })).record
  expect([renamed.activityDisplayName, changesOf(renamed)]).toEqual(['Update group', { displayName: ['"crew"', '"the crew"'] }])
  expect((await written('DELETE', `/groups/${id}`)).record.activityDisplayName).toBe('Delete group')

  const token = await loop.daemonToken('files-api', 'ssf.manage ssf.read')
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ delivery: { method: 'urn:ietf:rfc:8936' } })
  const { stream_id: stream } = (await (await fetch(`${loop.authority}/ssf/streams`, { method: 'POST', headers, body })).json()) as {
    stream_id: string
  }
  const [record] = await during(() => log.admin('DELETE', `/caegis/streams/${stream}`))
  expect(record).toMatchObject({
    activityDisplayName: 'Delete stream',
    initiatedBy: { app: { appId: 'nightly' } },
    targetResources: [{ id: stream }],
  })
})

it('what changes nothing leaves nothing', async () => {
  const records = await during(async () => {
    await log.admin('PATCH', '/users/alice@contoso.test', { displayName: 'Alice A.' })
    await log.admin('PATCH', '/users/alice@contoso.test', { accountEnabled: true })
    await log.admin('DELETE', `/groups/${ids.finance}/members/${ids.bob}/$ref`)
    await log.admin('PATCH', '/users/nobody@contoso.test', { accountEnabled: false })
    await log.admin('PATCH', '/users/alice@contoso.test', { nonsense: true })
    await loop.server.apply(LOGS_TENANT())
  })
  // What differs from the file: a name, somebody who was deleted, a role that it gives to nobody.
  const differing = ['Update user', 'Add user', 'Remove app role assignment'].map((activity) => [activity, 'CAEgis: tenant file'])
  expect(records.map((one) => [one.activityDisplayName, one.initiatedBy.app?.displayName])).toEqual(differing)
})

it('an administrator is named, with the application and the address; a person who acts for themselves too', async () => {
  const admin = await asPerson(loop, loop.person('admin'))
  const [record] = await during(() => admin.call('PATCH', '/users/bob@contoso.test', { displayName: 'Bob B.' }))
  expect(record?.initiatedBy).toEqual({
    user: { id: ids.admin, userPrincipalName: 'admin@contoso.test', ipAddress: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) },
    app: { appId: 'caegis-cli', displayName: 'CAEgis command line' },
  })
  const flow = createFlow(loop, { username: 'bob@contoso.test' })
  await flow.tokens()
  const [out] = await during(async () => {
    const page = await flow.browser.open(`${loop.authority}/oauth2/v2.0/logout`)
    const xsrf = page.text.match(/name="xsrf" value="([^"]*)"/)?.[1] ?? ''
    await flow.browser.open(`${loop.authority}/oauth2/v2.0/logout/confirm`, { logout: 'yes', xsrf })
  })
  expect(out).toMatchObject({
    activityDisplayName: 'The user signed out',
    initiatedBy: { user: { id: ids.bob, userPrincipalName: 'bob@contoso.test' } },
  })
  const page = createFlow(loop, { username: 'bob@contoso.test' })
  await page.tokens()
  const own = await during(async () => {
    await page.browser.open(`${loop.authority}/account`)
    await page.browser.open(`${loop.authority}/account`, { action: 'password' })
    const form = { action: 'new-password', old: PASSWORD, new: 'own-password-of-bob-22', again: 'own-password-of-bob-22' }
    expect((await page.browser.open(`${loop.authority}/account`, form)).text).toContain('was changed')
  })
  expect(own).toMatchObject([
    { activityDisplayName: 'The user changed the password', category: 'UserManagement', initiatedBy: { user: { id: ids.bob } } },
  ])
})

it('who may not is told of, where it was a change; a read is not', async () => {
  const token = await loop.daemonToken('weak', `${loop.origin}/.default`)
  const call = (method: string, path: string, body?: object) =>
    fetch(`${loop.origin}/v1.0${path}`, {
      ...{ method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
  const records = await during(async () => {
    expect((await call('PATCH', '/users/alice@contoso.test', { displayName: 'Mallory' })).status).toBe(403)
    expect((await call('GET', '/auditLogs/directoryAudits')).status).toBe(403)
  })
  expect(records).toHaveLength(1)
  expect(records[0]).toMatchObject({
    ...{ activityDisplayName: 'PATCH /v1.0/users/:id', result: 'failure' },
    resultReason: expect.stringMatching(/^Insufficient privileges to complete the operation\. The application weak .* the permission User\.\S+\.$/),
    ...{ correlationId: '', initiatedBy: { user: null, app: { appId: 'weak', displayName: 'weak' } } },
    targetResources: [{ id: 'alice@contoso.test' }],
  })
  const flood = await during(async () => {
    for (let i = 0; i < 30; i++) await call('PATCH', '/users/alice@contoso.test', { displayName: 'Mallory' })
    await loop.server.tidy()
  })
  expect(flood.length).toBeLessThanOrEqual(21)
  expect(flood.at(-1)?.resultReason).toMatch(/\(\d+ times\)$/)
})

it('a change whose record cannot be written does not happen', async () => {
  const { db } = loop.server.store
  const before = await loop.server.store.position(loop.tenant)
  const mend = await breakRows(loop, 'before insert on audits')
  const answer = await log.admin('PATCH', '/users/bob@contoso.test', { accountEnabled: false })
  await mend()
  expect(answer.status).toBe(500)
  expect((await loop.server.store.position(loop.tenant)).seq).toBe(before.seq)
  expect(
    await db
      .selectFrom('users')
      .select('enabled')
      .where('id', '=', ids.bob as string)
      .executeTakeFirst(),
  ).toEqual({ enabled: 1 })
})

it('filters, pages, and refuses what it does not understand', async () => {
  const all = (await log.list('directoryAudits')) as unknown as AuditRecord[]
  const some = all.find((one) => one.activityDisplayName === 'Disable account') as AuditRecord
  const time = (of: AuditRecord) => Date.parse(of.activityDateTime)
  const cases: [string, (one: AuditRecord) => boolean][] = [
    [`activityDateTime ge ${some.activityDateTime}`, (one) => time(one) >= time(some)],
    [`activityDateTime le ${some.activityDateTime} and result eq 'success'`, (one) => time(one) <= time(some) && one.result === 'success'],
    [`activityDisplayName eq 'Update user'`, (one) => one.activityDisplayName === 'Update user'],
    [`category eq 'GroupManagement'`, (one) => one.category === 'GroupManagement'],
    [`correlationId eq '${some.correlationId}'`, (one) => one.correlationId === some.correlationId],
    [`result eq 'failure'`, (one) => one.result === 'failure'],
    [`initiatedBy/user/id eq '${ids.admin}'`, (one) => one.initiatedBy.user?.id === ids.admin],
    [`initiatedBy/app/appId eq 'nightly' and category eq 'Device'`, (one) => one.initiatedBy.app?.appId === 'nightly' && one.category === 'Device'],
    [`targetResources/any(t:t/id eq '${ids.alice}')`, (one) => one.targetResources.some(({ id }) => id === ids.alice)],
    [`targetResources/any(x: x/id eq '${ids.alice}') and correlationId eq '${some.correlationId}'`, (one) => one.id === some.id],
  ]
  for (const [filter, right] of cases) {
    const found = await log.list('directoryAudits', filter)
    expect(
      found.map(({ id }) => id),
      filter,
    ).toEqual(all.filter(right).map(({ id }) => id))
    expect(found.length, filter).toBeGreaterThan(0)
  }
  const seen: string[] = []
  for (let path: string | undefined = 'directoryAudits?$top=5'; path !== undefined; ) {
    const { body }: Awaited<ReturnType<typeof log.get>> = await log.get(path)
    seen.push(...body.value.map(({ id }) => id))
    path = body['@odata.nextLink']
  }
  expect(seen).toEqual(all.map(({ id }) => id))
  expect((await log.get(`directoryAudits/${some.id}`)).body).toMatchObject({ id: some.id, activityDisplayName: 'Disable account' })
  for (const query of [
    '$filter=userId eq 1',
    "$filter=targetResources/all(t:t/id eq 'x')",
    "$filter=targetResources/any(t:s/id eq 'x')",
    '$orderby=id',
    '$select=id',
  ])
    expect((await log.get(`directoryAudits?${query.replaceAll(' ', '%20')}`)).status, query).toBe(400)
})

it('shows each tenant its own', async () => {
  const other = await loop.server.apply(LOGS_TENANT('beta'))
  const theirs = await createLogReader(loop, other.issuer.slice(0, -'/v2.0'.length))
  const mine = await log.list('directoryAudits')
  const found = await theirs.list('directoryAudits')
  expect(found.length).toBeGreaterThan(0)
  expect(found.filter(({ id }) => mine.some((one) => one.id === id))).toEqual([])
  expect((await theirs.get(`directoryAudits/${mine[0]?.id}`)).status).toBe(404)
  expect(await theirs.list('directoryAudits', `targetResources/any(t:t/id eq '${ids.alice}')`)).toEqual([])
})

it('I8: no password, secret, token or code is in any record of either log', async () => {
  const flow = createFlow(loop, { username: 'admin@contoso.test', clientId: 'files-native' })
  const { accessToken, refreshToken, idToken, code } = await flow.tokens()
  const opaque = await createFlow(loop, { username: 'admin@contoso.test', scope: 'openid profile' }).tokens()
  await flow.refresh(refreshToken)
  await flow.redeem(code)
  const at = await flow.browser.open(createFlow(loop, { browser: flow.browser, more: { prompt: 'login' } }).url)
  await flow.browser.open(at.url.href, { username: 'admin@contoso.test', password: 'wrong-password-1' })
  await flow.browser.open(at.url.href, { username: 'wrong-password-1', password: PASSWORD })
  await loop.token({
    grant_type: 'client_credentials',
    client_id: SECRET,
    client_secret: SECRET,
    scope: SECRET,
    'client-request-id': `${SECRET} ${PASSWORD}`,
  })
  await loop.token({ grant_type: PASSWORD, client_id: 'nightly', username: 'alice@contoso.test', password: PASSWORD })
  await log.admin('PATCH', `/users/${encodeURIComponent(PASSWORD)}`, { accountEnabled: false })
  await loop.server.store.flush()
  const { db } = loop.server.store
  const rows = [
    ...(await db.selectFrom('sign_ins').selectAll().execute()),
    ...(await db.selectFrom('audits').selectAll().execute()),
    ...(await db.selectFrom('audit_targets').selectAll().execute()),
  ]
  expect(rows.length).toBeGreaterThan(50)
  const text = JSON.stringify(rows)
  const tokens = [accessToken, refreshToken, idToken, code, flow.verifier, opaque.accessToken, opaque.refreshToken]
  for (const secret of [...secrets, ...tokens]) expect(text.includes(secret), secret.slice(0, 12)).toBe(false)
  const hashes = await db.selectFrom('users').select('password').where('password', 'is not', null).execute()
  for (const { password } of hashes) expect(text.includes(String(password))).toBe(false)
  const kept = await db.selectFrom('credentials').select('value').execute()
  for (const { value } of kept) expect(text.includes(value)).toBe(false)
})

it('several edits of one change are records of their own, none of which is told in the words of another one', async () => {
  const records = await during(() =>
    loop.server.apply(
      JSON.stringify({
        tenant: { name: 'contoso' },
        authenticationContexts: [{ id: 'c9' }],
        namedLocations: [{ displayName: 'Everywhere else', ipRanges: ['198.51.100.0/24'] }],
        conditionalAccessPolicies: [
          {
            ...{ displayName: 'Elsewhere', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
            conditions: {
              users: { includeUsers: ['All'] },
              applications: { includeApplications: ['None'] },
              locations: { includeLocations: ['Everywhere else'] },
            },
          },
        ],
      }),
    ),
  )
  const told = records.map(({ activityDisplayName, resultReason }) => [activityDisplayName, resultReason])
  expect(told.filter(([, reason]) => reason).map(([activity]) => activity)).toEqual([])
  expect(told.map(([activity]) => activity).sort()).toEqual(['Add authentication context', 'Add conditional access policy', 'Add named location'])
})

it('goes when its time is over', async () => {
  const { db } = loop.server.store
  ahead += 31 * 24 * 3600
  await loop.server.tidy()
  for (const table of ['audits', 'audit_targets'] as const) expect(await db.selectFrom(table).select('id').execute()).toEqual([])
})
