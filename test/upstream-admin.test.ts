import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Loop, SECRET, startLoop } from './loop.ts'
import { runProgram } from './process.ts'
import { shown, tenantFile } from './upstream-world.ts'

describe('upstreams in the admin API', () => {
  let loop: Loop
  const entry = { issuer: 'https://idp.test/x', enabled: false, credentials: { clientId: 'c', clientSecret: 'a-secret-of-theirs' } }
  beforeAll(async () => {
    loop = await startLoop({ tenant: tenantFile([]) })
  })
  afterAll(() => loop.close())
  const send = async (method: string, path: string, body?: object) => {
    const response = await loop.graph(method, path, body)
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text), text }
  }

  it('are made, read, changed and deleted, and never say their secrets', async () => {
    const made = await send('POST', '/caegis/upstreams', { ...entry, domains: ['Contoso.TEST'] })
    expect(made).toMatchObject({
      status: 201,
      body: { issuer: entry.issuer, displayName: 'idp.test', issuers: [entry.issuer], domains: ['contoso.test'] },
    })
    const path = `/caegis/upstreams/${made.body.id}`
    const changed = await send('PATCH', path, { displayName: 'Identity', actions: { 'risk-level-change': 'revoke' } })
    expect(changed).toMatchObject({
      status: 200,
      body: { displayName: 'Identity', domains: ['contoso.test'], actions: { 'risk-level-change': 'revoke' } },
    })
    const rows = await loop.server.store.db.selectFrom('upstreams').selectAll().execute()
    for (const text of [
      made.text,
      changed.text,
      (await send('GET', path)).text,
      (await send('GET', '/caegis/upstreams')).text,
      JSON.stringify(rows),
    ]) {
      expect(text).not.toContain('a-secret-of-theirs')
    }
    expect(Buffer.from(rows[0]?.sealed as Uint8Array).toString('latin1')).not.toContain('a-secret-of-theirs')
    expect((await send('POST', '/caegis/upstreams', entry)).status).toBe(409)
    expect((await send('DELETE', path)).status).toBe(204)
    expect((await send('GET', path)).status).toBe(404)
    expect((await send('DELETE', path)).status).toBe(404)
  })

  it.each([
    [{ issuer: 'http://idp.test' }],
    [{ issuer: 'https://idp.test/?x' }],
    [{ credentials: { clientId: 'c' } }],
    [{ credentials: undefined }],
    [{ subject: 'userPrincipalName' }],
    [{ actions: { 'session-revoked': 'enable' } }],
    [{ actions: { 'account-enabled': 'revoke' } }],
    [{ actions: { 'no-such-event': 'revoke' } }],
    [{ displayName: 'a\u0007b' }],
    [{ unknown: true }],
  ])('refuses %j with 400', async (wrong) => {
    const refused = await send('POST', '/caegis/upstreams', { ...entry, ...wrong })
    expect(refused).toMatchObject({ status: 400, body: { error: { code: 'Request_BadRequest' } } })
    expect(refused.text).not.toContain('a-secret-of-theirs')
  })

  it('refuses a tenant as an upstream of itself, and another issuer for an old secret', async () => {
    expect((await send('POST', '/caegis/upstreams', { ...entry, issuer: loop.issuer })).status).toBe(400)
    const { id } = (await send('POST', '/caegis/upstreams', { ...entry, issuer: 'https://other.test' })).body
    expect((await send('PATCH', `/caegis/upstreams/${id}`, { issuer: 'https://evil.test' })).status).toBe(400)
    await send('DELETE', `/caegis/upstreams/${id}`)
  })

  it('may be read with one permission and changed with another, by nobody else, and not from another tenant', async () => {
    const { id } = (await send('POST', '/caegis/upstreams', entry)).body
    const as = async (client: string, method: string, path: string, body?: object) => {
      const token = await loop.daemonToken(client, `${loop.origin}/.default`)
      const headers = { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) }
      return (await fetch(`${loop.origin}/v1.0${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })).status
    }
    const path = `/caegis/upstreams/${id}`
    for (const [method, url, body] of [
      ['GET', '/caegis/upstreams', undefined],
      ['GET', path, undefined],
      ['POST', '/caegis/upstreams', { ...entry, issuer: 'https://third.test' }],
      ['PATCH', path, { displayName: 'x' }],
      ['DELETE', path, undefined],
    ] as const) {
      expect(await as('reader', method, url, body), `${method} ${url}`).toBe(method === 'GET' ? 200 : 403)
      expect(await as('clerk', method, url, body), `${method} ${url}`).toBe(403)
    }
    const { tenant } = await loop.server.apply(tenantFile([]).replace('contoso', 'fabrikam').replaceAll('nightly', 'night-f'))
    expect(tenant).not.toBe(loop.tenant)
    const other = await fetch(`${loop.origin}/fabrikam/oauth2/v2.0/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: 'night-f', client_secret: SECRET, scope: `${loop.origin}/.default` }),
    })
    const { access_token: token } = (await other.json()) as { access_token: string }
    const headers = { authorization: `Bearer ${token}` }
    expect(await (await fetch(`${loop.origin}/v1.0/caegis/upstreams`, { headers })).json()).toMatchObject({ value: [] })
    for (const method of ['GET', 'DELETE']) expect((await fetch(`${loop.origin}/v1.0${path}`, { method, headers })).status).toBe(404)
    await send('DELETE', path)
  })

  it('are kept by a tenant file: applied again, nothing changes', async () => {
    const file = tenantFile([{ ...entry, displayName: 'From the file' }])
    await loop.server.apply(file)
    const rows = () => loop.server.store.db.selectFrom('upstreams').selectAll().where('tenant', '=', loop.tenant).execute()
    const [before] = await rows()
    await loop.server.apply(file)
    expect(await rows()).toEqual([before])
    await loop.server.apply(tenantFile([{ ...entry, displayName: 'Renamed' }]))
    expect(await rows()).toMatchObject([{ id: before?.id, config: expect.stringContaining('Renamed') }])
    await expect(loop.server.apply(tenantFile([entry, entry]))).rejects.toMatchObject({ code: 'invalid_tenant_file' })
  })

  it('a push to what is no upstream is no more than not found, whatever it carries', async () => {
    const { id } = await shown(loop)
    for (const path of [`/contoso/upstream/${id}`, '/contoso/upstream/no-such', '/no-such/upstream/x']) {
      const response = await fetch(`${loop.origin}${path}`, { method: 'POST', headers: { 'content-type': 'application/secevent+jwt' }, body: 'x' })
      expect([response.status, await response.json()]).toEqual([404, { error: 'not_found' }])
    }
  })

  it('are listed and shown by the command line', async () => {
    const env = {
      CAEGIS_DATA: loop.data,
      CAEGIS_ORIGIN: loop.origin,
      CAEGIS_TENANT: 'contoso',
      CAEGIS_CLIENT_ID: 'reader',
      CAEGIS_CLIENT_SECRET: SECRET,
    }
    const { id } = await shown(loop)
    const listed = await runProgram(['upstream', 'list'], { env })
    expect(listed).toMatchObject({ code: 0, stdout: expect.stringMatching(new RegExp(`${id}  Renamed  ${entry.issuer}  poll +switched off`)) })
    const one = await runProgram(['upstream', 'show', id], { env })
    expect(one).toMatchObject({ code: 0, stdout: expect.stringContaining('It has said nothing yet.') })
    expect(JSON.parse((await runProgram(['upstream', 'show', id, '--json'], { env })).stdout)).toMatchObject({ id, status: { gaps: 0 } })
  })
})
