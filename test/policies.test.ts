import { afterAll, describe, expect, it } from 'vitest'
import { administrator, asPerson, emergency } from './emergency.ts'
import { eventually, SECRET } from './loop.ts'
import {
  aboutAll,
  administerPolicies,
  BLOCK,
  CONTEXTS,
  client,
  clientOf,
  db,
  eventsSince,
  idOf,
  LOCATIONS,
  loop,
  MFA,
  POLICIES,
  type Refusal,
  ROOT,
  refusal,
  seq,
  tenantOf,
  version,
} from './policy-admin.ts'
import { killPrograms, runProgram } from './process.ts'

administerPolicies()

describe('policies', () => {
  it('are made, shown, listed, changed and deleted with the unmodified client', async () => {
    const alice = await idOf('alice@contoso.test')
    const made = await client.api(POLICIES).post({
      ...{ displayName: 'MFA for Alice', state: 'enabled', grantControls: MFA },
      conditions: {
        users: { includeUsers: [alice] },
        applications: { includeApplications: ['files-api'] },
        clientAppTypes: ['browser'],
        platforms: { includePlatforms: ['all'], excludePlatforms: ['iOS'] },
      },
    })
    expect(made).toMatchObject({
      ...{ id: expect.stringMatching(/^[0-9a-f-]{36}$/), displayName: 'MFA for Alice', state: 'enabled', modifiedDateTime: null },
      ...{ createdDateTime: expect.stringMatching(/Z$/), sessionControls: null, grantControls: MFA },
      conditions: { users: { includeUsers: [alice], excludeUsers: [] }, clientAppTypes: ['browser'], locations: null },
    })
    const url = `${POLICIES}/${made.id}`
    expect((await client.api(POLICIES).filter("state eq 'enabled'").select('id,displayName').get()).value).toEqual([
      { '@odata.etag': made['@odata.etag'], id: made.id, displayName: 'MFA for Alice' },
    ])

    // Members that are given take the place of those before; of the conditions, each of its members.
    await client.api(url).patch({ conditions: { platforms: null, clientAppTypes: ['all'] }, description: 'as agreed' })
    const changed = await client.api(url).get()
    expect(changed).toMatchObject({
      ...{ displayName: 'MFA for Alice', description: 'as agreed', modifiedDateTime: expect.stringMatching(/Z$/) },
      conditions: {
        users: { includeUsers: [alice] },
        applications: { includeApplications: ['files-api'] },
        platforms: null,
        clientAppTypes: ['all'],
      },
    })
    // What was read may be sent back as it is, and is no edit.
    const before = [await version(), await seq()]
    await client.api(url).patch(changed)
    await client.api(url).patch({ state: 'enabled' })
    expect([await version(), await seq()]).toEqual(before)

    await client.api(url).delete()
    expect(await refusal(client.api(url).get())).toMatchObject({ status: 404, code: 'Request_ResourceNotFound' })
    expect(await refusal(client.api(url).patch({ state: 'disabled' }))).toMatchObject({ status: 404 })
    expect((await client.api(POLICIES).get()).value).toEqual([])
    // The row stays: tokens that name it pass for as long as they live.
    const row = db().selectFrom('policies').select(['deleted_at', 'version']).where('id', '=', made.id)
    expect(await row.executeTakeFirst()).toMatchObject({ deleted_at: expect.any(Number), version: await version() })
  })

  it('that are not right are refused with every mistake and its path', async () => {
    const before = await version()
    const wrong = {
      ...{
        displayName: 'wrong',
        state: 'on',
        colour: 'red',
        grantControls: { operator: 'XOR', builtInControls: ['block', 'mfa'], termsOfUse: ['x'] },
      },
      conditions: { users: { includeUsers: ['All'], includePeople: [] }, applications: {}, clientAppTypes: ['fax'] },
    }
    const refused = (await refusal(client.api(POLICIES).post(wrong))) as Refusal
    expect(refused).toMatchObject({ status: 400, code: 'Request_BadRequest', message: expect.stringContaining('/colour: is not known here') })
    expect(refused.paths.sort()).toEqual(
      [
        '/colour',
        '/state',
        '/conditions/applications',
        '/conditions/clientAppTypes/0',
        '/conditions/users/includePeople',
        '/grantControls/builtInControls',
        '/grantControls/operator',
        '/grantControls/termsOfUse',
      ].sort(),
    )
    for (const body of [[], 'x', null, 7]) expect((await loop.graph('POST', POLICIES, body)).status, JSON.stringify(body)).toBe(400)
    expect(await version()).toBe(before)
  })

  it('name only what is there, each by its path', async () => {
    const alice = await idOf('alice@contoso.test')
    const conditions = {
      users: {
        ...{ includeUsers: [alice, 'nobody'], excludeUsers: ['GuestsOrExternalUsers', 'no-one'], includeGroups: ['no-group'] },
        ...{ includeRoles: ['admin', 'emperor'] },
      },
      applications: { includeApplications: ['files-api', 'no-api'], excludeApplications: ['no-other'] },
      locations: { includeLocations: ['All'], excludeLocations: ['AllTrusted', 'no-place'] },
    }
    const body = { displayName: 'names', state: 'disabled', grantControls: MFA, conditions }
    expect(((await refusal(client.api(POLICIES).post(body))) as Refusal).paths.sort()).toEqual(
      [
        '/conditions/users/includeUsers/1',
        '/conditions/users/excludeUsers/1',
        '/conditions/users/includeGroups/0',
        '/conditions/users/includeRoles/1',
        '/conditions/applications/includeApplications/1',
        '/conditions/applications/excludeApplications/0',
        '/conditions/locations/excludeLocations/1',
      ].sort(),
    )
    const ofContext = { ...aboutAll, applications: { includeAuthenticationContextClassReferences: ['c7'] } }
    expect(await refusal(client.api(POLICIES).post({ ...body, conditions: ofContext }))).toMatchObject({
      paths: ['/conditions/applications/includeAuthenticationContextClassReferences/0'],
    })
    const ofApps = { applications: { includeApplications: ['All'] }, clientApplications: { includeServicePrincipals: ['nightly', 'no-daemon'] } }
    expect(await refusal(client.api(POLICIES).post({ ...body, grantControls: BLOCK, conditions: ofApps }))).toMatchObject({
      paths: ['/conditions/clientApplications/includeServicePrincipals/1'],
    })

    // What is deleted later stays named, and does not stand in the way of other edits.
    const group = await client.api('/groups').post({ displayName: 'passing', mailEnabled: false, securityEnabled: true, mailNickname: 'passing' })
    const named = { users: { includeGroups: [group.id] }, applications: { includeApplications: ['All'] } }
    const { id } = await client.api(POLICIES).post({ ...body, conditions: named })
    await client.api(`/groups/${group.id}`).delete()
    await client.api(`${POLICIES}/${id}`).patch({ description: 'about a group that is gone' })
    expect(await refusal(client.api(`${POLICIES}/${id}`).patch({ conditions: { users: { includeGroups: [group.id, 'no-group'] } } }))).toMatchObject({
      paths: ['/conditions/users/includeGroups/1'],
    })
    await client.api(`${POLICIES}/${id}`).delete()
  })

  it('have a name each, and an edit of what somebody else has edited meanwhile is refused', async () => {
    const body = { displayName: 'one of a kind', state: 'disabled', grantControls: MFA, conditions: aboutAll }
    const made = await client.api(POLICIES).post(body)
    const other = await client.api(POLICIES).post({ ...body, displayName: 'another' })
    expect(await refusal(client.api(POLICIES).post(body))).toMatchObject({ status: 409, code: 'Request_Conflict' })
    expect(await refusal(client.api(`${POLICIES}/${other.id}`).patch({ displayName: 'one of a kind' }))).toMatchObject({ status: 409 })
    const url = `${POLICIES}/${made.id}`
    const read = made['@odata.etag']
    await client.api(url).header('If-Match', read).patch({ description: 'first' })
    expect(await refusal(client.api(url).header('If-Match', read).patch({ description: 'second' }))).toMatchObject({
      ...{ status: 412, code: 'PreconditionFailed' },
    })
    expect(await refusal(client.api(url).header('If-Match', read).delete())).toMatchObject({ status: 412 })
    expect((await client.api(url).get()).description).toBe('first')
    await client
      .api(url)
      .header('If-Match', (await client.api(url).get())['@odata.etag'])
      .delete()
    await client.api(`${POLICIES}/${other.id}`).delete()
  })

  it('tell guards and the living only what may be otherwise for them', async () => {
    const { id: office } = await client.api(LOCATIONS).post({ displayName: 'here', ipRanges: ['203.0.113.0/24'] })
    const [from, start] = [await seq(), await version()]
    const conditions = { ...aboutAll, users: { includeUsers: [await idOf('alice@contoso.test')] } }
    const away = { includeLocations: ['All'], excludeLocations: [office] }
    const jobs = async () => (await db().selectFrom('reevaluations').select('id').execute()).length
    // Somebody lives by a decision, so that edits have something to look at; it is newer than all of them, so that nothing comes of it.
    const decision = { tenant: loop.tenant, id: 'd', user_id: 'u', sid: 's', app_id: 'a', resource: 'r', device_id: null, capable: 1, version: 1e9 }
    const until = Math.floor(loop.server.store.clock()) + 3600
    await db()
      .insertInto('decisions')
      .values({ ...decision, tokens_until: until, outcome: 'allow', fingerprint: '', signals: '{}' })
      .execute()
    const step = async (work: () => Promise<unknown>) => {
      const before = [await seq(), await jobs()] as const
      await work()
      return { events: await eventsSince(before[0]), jobs: (await jobs()) - before[1] }
    }
    let id = ''
    const none = { events: [], jobs: 0 }
    const rules = ['location-rules-changed']
    const draft = { displayName: 'draft', state: 'disabled', grantControls: BLOCK, conditions: { ...conditions, locations: away } }
    expect(await step(async () => (id = (await client.api(POLICIES).post(draft)).id))).toEqual(none)
    const patch = (body: object) => step(() => client.api(`${POLICIES}/${id}`).patch(body))
    expect(await patch({ state: 'enabledForReportingButNotEnforced' })).toEqual(none)
    expect(await patch({ state: 'enabled' })).toEqual({ events: rules, jobs: 1 })
    expect(await patch({ displayName: 'renamed' })).toEqual(none)
    expect(await patch({ conditions: { clientAppTypes: ['browser'] } })).toEqual({ events: [], jobs: 1 })
    expect(await patch({ conditions: { locations: { includeLocations: ['All'] } } })).toEqual({ events: rules, jobs: 1 })
    expect(await step(() => client.api(`${POLICIES}/${id}`).delete())).toEqual({ events: rules, jobs: 1 })
    // Each of these edits is a version of its own, the silent ones too.
    expect((await version()) - start).toBe(7)
    expect(await eventsSince(from)).toHaveLength(3)
    const subject = db().selectFrom('events').select('subject').where('seq', '>', from).limit(1)
    expect(JSON.parse((await subject.executeTakeFirstOrThrow()).subject)).toEqual({
      complex: { format: 'complex', tenant: { format: 'opaque', id: loop.tenant } },
    })
    await db().deleteFrom('decisions').where('id', '=', 'd').execute()
    await client.api(`${LOCATIONS}/${office}`).delete()
  })

  it('who edited what stands in the audit log', async () => {
    const body = { displayName: 'audited', state: 'disabled', grantControls: MFA, conditions: aboutAll }
    const { id } = await client.api(POLICIES).post(body)
    await client.api(`${POLICIES}/${id}`).patch({ state: 'enabledForReportingButNotEnforced' })
    await client.api(`${POLICIES}/${id}`).delete()
    const { value } = await client.api('/auditLogs/directoryAudits').filter(`targetResources/any(t:t/id eq '${id}')`).get()
    expect(value.map(({ activityDisplayName }: { activityDisplayName: string }) => activityDisplayName)).toEqual([
      'Delete conditional access policy',
      'Update conditional access policy',
      'Add conditional access policy',
    ])
    expect(value[1]).toMatchObject({ category: 'Policy', initiatedBy: { app: { appId: 'nightly' } } })
    expect(value[1].targetResources[0]).toMatchObject({
      displayName: 'audited',
      modifiedProperties: [{ displayName: 'state', oldValue: '"disabled"', newValue: '"enabledForReportingButNotEnforced"' }],
    })
  })
})

describe('templates', () => {
  const URL = `${ROOT}/templates`

  it('are listed, and each can be made a policy of as it is', async () => {
    const { value } = (await client.api(URL).get()) as { value: { id: string; name: string; details: { conditions: object } }[] }
    expect(value.length).toBeGreaterThan(10)
    const made: string[] = []
    for (const { id, name, details } of value) {
      expect(await client.api(`${URL}/${id}`).get()).toMatchObject({ id, name })
      const policy = await client.api(POLICIES).post({ templateId: id, state: 'disabled' })
      expect(policy).toMatchObject({ templateId: id, displayName: name, state: 'disabled' })
      expect(details.conditions).toMatchObject({ users: expect.anything() })
      made.push(policy.id)
    }
    for (const id of made) await client.api(`${POLICIES}/${id}`).delete()
    expect(await refusal(client.api(`${URL}/none`).get())).toMatchObject({ status: 404 })
  })

  it('say only what the policy itself does not say; those of others say nothing', async () => {
    const alice = await idOf('alice@contoso.test')
    const own = { displayName: 'MFA for Alice', state: 'disabled', conditions: { users: { includeUsers: [alice] } } }
    const { id, ...policy } = await client.api(POLICIES).post({ templateId: 'require-mfa-for-all-users', ...own })
    expect(policy).toMatchObject({
      ...{ displayName: 'MFA for Alice', grantControls: { builtInControls: ['mfa'] } },
      conditions: { users: { includeUsers: [alice] }, applications: { includeApplications: ['All'] } },
    })
    await client.api(`${POLICIES}/${id}`).delete()
    const templateId = 'c7503427-338e-4c5e-902d-abe252abfb43'
    const brought = await client
      .api(POLICIES)
      .post({ templateId, displayName: 'brought along', state: 'disabled', conditions: aboutAll, grantControls: MFA })
    expect(brought).toMatchObject({ templateId })
    await client.api(`${POLICIES}/${brought.id}`).delete()
    expect(await refusal(client.api(POLICIES).post({ templateId, displayName: 'empty', state: 'disabled' }))).toMatchObject({ status: 400 })
  })
})

describe('caegis policy', () => {
  const run = (...args: string[]) => {
    const who = { CAEGIS_ORIGIN: loop.origin, CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    return runProgram(['policy', ...args], { env: { ...who, CAEGIS_DATA: loop.data } })
  }
  afterAll(() => killPrograms())

  it('lists policies, and shows one by its name or id', async () => {
    expect(await run('ls')).toMatchObject({ code: 0, stdout: 'There are no policies: whoever signs in is let in.\n' })
    const own = { displayName: "Alice's \u001b[31mrule", state: 'enabledForReportingButNotEnforced', description: 'tried first' }
    const sessionControls = { signInFrequency: { isEnabled: true, frequencyInterval: 'timeBased', type: 'hours', value: 4 } }
    const body = { ...own, conditions: { ...aboutAll, clientAppTypes: ['browser'] }, grantControls: MFA, sessionControls }
    const { id } = await client.api(POLICIES).post(body)
    const [listed, byName, byId, json, nobody] = await Promise.all([
      ...[run('ls'), run('show', own.displayName), run('show', id), run('list', '--json'), run('show', 'nobody')],
    ])
    expect(listed?.stdout).toContain(`Alice's ?[31mrule  report only  mfa, signInFrequency  ${id}`)
    expect(byName).toMatchObject({ code: 0, stdout: expect.stringMatching(/^state +report only$/m) })
    expect(byName?.stdout).toMatch(/^applications\.includeApplications +All$/m)
    expect(byName?.stdout).toMatch(/^signInFrequency\.value +4$/m)
    expect(byId?.stdout).toBe(byName?.stdout)
    expect(JSON.parse(json?.stdout ?? '')).toMatchObject({ policies: [{ id, displayName: own.displayName }] })
    expect(nobody).toMatchObject({ code: 5, stdout: '', stderr: 'There is no policy of that name or id. (unknown_policy)\n' })
    await client.api(`${POLICIES}/${id}`).delete()
  })
})

describe('authentication contexts', () => {
  it('are made by the first change, listed by their numbers, and deleted when nothing names them', async () => {
    expect(
      await client.api(`${CONTEXTS}/c10`).patch({ id: 'c10', displayName: 'Payments', description: 'above 1000', isAvailable: true }),
    ).toMatchObject({
      ...{ id: 'c10', displayName: 'Payments', description: 'above 1000', isAvailable: true },
    })
    await client.api(`${CONTEXTS}/c2`).patch({ displayName: 'Two' })
    await client.api(`${CONTEXTS}/c2`).patch({ isAvailable: true })
    expect((await client.api(CONTEXTS).get()).value).toEqual([
      { id: 'c2', displayName: 'Two', description: null, isAvailable: true },
      { id: 'c10', displayName: 'Payments', description: 'above 1000', isAvailable: true },
    ])
    const before = await version()
    await client.api(`${CONTEXTS}/c2`).patch({ displayName: 'Two' })
    expect(await version()).toBe(before)
    for (const id of ['c0', 'c100', 'd1'])
      expect(await refusal(client.api(`${CONTEXTS}/${id}`).patch({ displayName: 'x' }))).toMatchObject({ status: 404 })
    expect(await refusal(client.api(`${CONTEXTS}/c2`).patch({ id: 'c3' }))).toMatchObject({ status: 400 })

    const applications = { includeAuthenticationContextClassReferences: ['c10'] }
    const policy = { displayName: 'payments', state: 'enabled', grantControls: MFA, conditions: { ...aboutAll, applications } }
    const { id } = await client.api(POLICIES).post(policy)
    expect(await refusal(client.api(`${CONTEXTS}/c10`).delete())).toMatchObject({ status: 409 })
    await client.api(`${POLICIES}/${id}`).delete()
    for (const one of ['c10', 'c2']) await client.api(`${CONTEXTS}/${one}`).delete()
    expect(await refusal(client.api(`${CONTEXTS}/c10`).get())).toMatchObject({ status: 404 })
  })
})

describe('C3: a policy that would keep its author out', () => {
  const body = (name: string, conditions: object, builtInControls: string[], operator = 'AND') => ({
    ...{ displayName: name, state: 'enabled', conditions: { ...aboutAll, ...conditions } },
    grantControls: { operator, builtInControls },
  })
  const ofAdmins = { users: { includeRoles: ['admin'] } }
  const ofApi = { applications: { includeApplications: ['graph'] } }
  const REFUSED = { status: 409, body: { error: { code: 'wouldBlockAuthor', message: expect.stringContaining('?confirm=true') } } }
  /** What became of it; whatever was saved is gone again at once. */
  const tried = async (policy: object, admin: Awaited<ReturnType<typeof administrator>>) => {
    const answer = await admin.call('POST', POLICIES, { ...policy, displayName: crypto.randomUUID() })
    if (answer.status === 201) await client.api(`${POLICIES}/${answer.body.id}`).delete()
    return answer
  }

  it('is saved at the second word only', async () => {
    const admin = await administrator(loop)
    for (const policy of [
      body('block all', {}, ['block']),
      body('block administrators', ofAdmins, ['block']),
      body('block the admin API', ofApi, ['block']),
      body('block this place', { locations: { includeLocations: ['All'] } }, ['block']),
      body('block these clients', { clientAppTypes: ['mobileAppsAndDesktopClients'] }, ['block']),
      // Nobody knows what the command runs on.
      body('block Linux', { platforms: { includePlatforms: ['linux'] } }, ['block']),
      body('a device that is not there', ofAdmins, ['mfa', 'compliantDevice']),
      body('one of two that are not there', ofAdmins, ['compliantDevice', 'domainJoinedDevice'], 'OR'),
    ])
      expect({ policy, ...(await tried(policy, admin)) }).toMatchObject(REFUSED)
  })

  it('is not, where a sign-in is enough, or where it is about others', async () => {
    const place = await client.api(LOCATIONS).post({ displayName: 'This machine', ipRanges: ['127.0.0.0/8', '::1'] })
    const id = await idOf('admin@contoso.test')
    // Each by a new sign-in: what is saved may ask for one.
    for (const policy of [
      body('a second factor', {}, ['mfa']),
      body('one of two', {}, ['mfa', 'compliantDevice'], 'OR'),
      body('others', { users: { includeUsers: ['All'], excludeUsers: [id] } }, ['block']),
      body('another API', { applications: { includeApplications: ['files-api'] } }, ['block']),
      body('elsewhere', { locations: { includeLocations: ['All'], excludeLocations: [place.id] } }, ['block']),
      body('browsers', { clientAppTypes: ['browser'] }, ['block']),
      { ...body('a draft', {}, ['block']), state: 'disabled' },
      { ...body('for the report', {}, ['block']), state: 'enabledForReportingButNotEnforced' },
    ])
      expect({ policy, ...(await tried(policy, await administrator(loop))) }).toMatchObject({ status: 201 })
    await client.api(`${LOCATIONS}/${place.id}`).delete()
  })

  it('is asked about when an edit makes it so, not of daemons, and not of the emergency account', async () => {
    const admin = await administrator(loop)
    const draft = { ...body('a draft', ofApi, ['block']), state: 'disabled' }
    const { id } = (await admin.call('POST', POLICIES, draft)).body
    const url = `${POLICIES}/${id}`
    expect(await admin.call('PATCH', url, { state: 'enabled' })).toMatchObject(REFUSED)
    expect(await admin.call('PATCH', `${url}?confirm=false`, { state: 'enabled' })).toMatchObject(REFUSED)
    expect(await admin.call('PATCH', `${url}?confirm=yes`, { state: 'enabled' })).toMatchObject({ status: 400 })
    expect((await client.api(url).get()).state).toBe('disabled')
    await client.api(url).patch({ state: 'enabled' })
    await client.api(url).patch({ state: 'disabled' })
    const rescue = await asPerson(loop, await emergency(loop))
    expect(await rescue.call('PATCH', url, { state: 'enabled' })).toMatchObject({ status: 204 })
    await client.api(url).patch({ state: 'disabled' })

    // Said twice, it is done: who did it is out, and the emergency account takes it back.
    const again = await administrator(loop)
    expect(await again.call('PATCH', `${url}?confirm=true`, { state: 'enabled' })).toMatchObject({ status: 204 })
    await eventually(
      async () => (await again.call('GET', url)).status,
      (status) => status === 401,
    )
    await expect(administrator(loop)).rejects.toThrow()
    expect(await rescue.call('DELETE', url)).toMatchObject({ status: 204 })
    expect(await (await administrator(loop)).call('GET', POLICIES)).toMatchObject({ status: 200 })
  })
})

describe('another tenant', () => {
  it('sees nothing of it, and changes nothing', async () => {
    await loop.server.apply(JSON.stringify(tenantOf('fabrikam')))
    const theirs = clientOf('fabrikam')
    const place = await client.api(LOCATIONS).post({ displayName: 'Ours', ipRanges: ['192.0.2.0/24'] })
    await client.api(`${CONTEXTS}/c1`).patch({ displayName: 'Ours' })
    const policy = await client.api(POLICIES).post({ displayName: 'Ours', state: 'disabled', grantControls: MFA, conditions: aboutAll })
    for (const url of [POLICIES, LOCATIONS, CONTEXTS]) expect((await theirs.api(url).get()).value).toEqual([])
    for (const [url, body] of [
      [`${POLICIES}/${policy.id}`, { state: 'enabled' }],
      [`${LOCATIONS}/${place.id}`, { isTrusted: true }],
    ] as const) {
      expect(await refusal(theirs.api(url).get())).toMatchObject({ status: 404 })
      expect(await refusal(theirs.api(url).patch(body))).toMatchObject({ status: 404 })
      expect(await refusal(theirs.api(url).delete())).toMatchObject({ status: 404 })
    }
    expect(await refusal(theirs.api(`${CONTEXTS}/c1`).delete())).toMatchObject({ status: 404 })
    const locations = { includeLocations: [place.id] }
    const body = { displayName: 'Theirs', state: 'disabled', grantControls: MFA, conditions: { ...aboutAll, locations } }
    expect(await refusal(theirs.api(POLICIES).post(body))).toMatchObject({ paths: ['/conditions/locations/includeLocations/0'] })
    expect(await client.api(`${POLICIES}/${policy.id}`).get()).toMatchObject({ state: 'disabled' })
    await client.api(`${POLICIES}/${policy.id}`).delete()
    await client.api(`${LOCATIONS}/${place.id}`).delete()
    await client.api(`${CONTEXTS}/c1`).delete()
  })
})
