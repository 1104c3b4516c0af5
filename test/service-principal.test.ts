import { execFileSync } from 'node:child_process'
import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfidentialClientApplication } from '@azure/msal-node'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'

const DEFAULT = 'api://files/.default'
const OTHER = 'another-secret-that-is-long-enough'

/** A certificate as administrators make one, and its private key. */
function makeCertificate(folder: string, name: string) {
  const [keyFile, certFile] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', keyFile, '-out', certFile, '-days', '2', '-subj', `/CN=${name}`],
    { stdio: 'ignore' },
  )
  const pem = readFileSync(certFile, 'utf8')
  return { pem, key: readFileSync(keyFile, 'utf8'), hex: new X509Certificate(pem).fingerprint256.replaceAll(':', '') }
}

const file = (applications: object[]) =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write'], cae: true, clientSecret: SECRET },
      ...applications,
    ],
  })

describe('service principals', () => {
  let loop: Loop
  let folder: string
  let certificate: ReturnType<typeof makeCertificate>
  const apps = (change: Record<string, object> = {}) =>
    file(
      Object.entries<object>({
        nightly: { clientSecret: SECRET },
        withdrawn: { clientSecret: SECRET, permissions: ['api://files/Files.Read', 'api://files/Files.Write'] },
        disabled: { clientSecret: SECRET },
        several: {
          secrets: [
            { name: 'one', value: SECRET },
            { name: 'two', value: OTHER },
            { name: 'old', value: 'x'.repeat(20), expires: '2020-01-01T00:00:00Z' },
          ],
        },
        operator: { clientSecret: SECRET, permissions: ['graph/Application.ReadWrite.All'] },
        sealed: { certificates: [{ name: 'laptop', pem: certificate.pem }] },
        ...change,
      }).map(([appId, more]) => ({ appId, type: 'daemon', permissions: [DEFAULT], ...more })),
    )
  const mint = (client_id: string, client_secret: string) =>
    loop.token({ grant_type: 'client_credentials', client_id, client_secret, scope: DEFAULT })
  const mintFor = async (client_id: string, scope: string) =>
    (await loop.token({ grant_type: 'client_credentials', client_id, client_secret: SECRET, scope })).body.access_token
  const events = async (appId: string) =>
    (await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute()).filter(
      ({ subject }) => JSON.parse(subject).complex.application?.id === appId,
    )
  const typesOf = async (appId: string) => (await events(appId)).map(({ type }) => type.split('/').at(-1))

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'caegis-certificates-'))
    certificate = makeCertificate(folder, 'laptop')
    loop = await startLoop({ tenant: apps() })
  })
  afterAll(async () => {
    await loop.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('a tenant file that says the same again publishes nothing', async () => {
    const before = (await loop.server.store.position(loop.tenant)).seq
    const versions = () => loop.server.store.db.selectFrom('applications').select(['app_id', 'version']).orderBy('app_id').execute()
    const [known] = [await versions()]
    await loop.server.apply(apps())
    expect((await loop.server.store.position(loop.tenant)).seq).toBe(before)
    expect(await versions()).toEqual(known)
  })

  it.each([
    ['nightly', { clientSecret: OTHER }, 'session-revoked'],
    ['withdrawn', { clientSecret: SECRET, permissions: ['api://files/Files.Read'] }, 'session-revoked'],
    ['disabled', { clientSecret: SECRET, enabled: false }, 'account-disabled'],
  ])('%s: a file that takes something away cuts off the application, and nobody else', async (appId, change, type) => {
    const guard = await loop.guard()
    const token = String((await mint(appId, SECRET)).body.access_token)
    const other = String((await mint('several', SECRET)).body.access_token)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    await loop.server.apply(apps({ [appId]: change }))
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    expect(await verdictOf(guard, other)).toMatchObject({ allowed: true })
    expect(await typesOf(appId)).toEqual([type])
    const [event] = await events(appId)
    expect(JSON.parse(event?.subject as string)).toEqual({ complex: { format: 'complex', application: { format: 'opaque', id: appId } } })
    expect(await loop.server.store.db.selectFrom('cutoffs').select(['kind', 'depth']).where('id', '=', appId).execute()).toEqual([
      { kind: 'app', depth: 'sign-in' },
    ])
    const again = await mint(appId, SECRET)
    if (appId === 'withdrawn')
      expect(await verdictOf(guard, String(again.body.access_token))).toMatchObject({ allowed: true, claims: { roles: ['Files.Read'] } })
    else expect(again).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    await loop.server.apply(apps())
  })

  it('the admin API disables, adds secrets and takes them away', async () => {
    const graph = async (path: string, body: object, method = 'POST') =>
      fetch(`${loop.origin}/v1.0/servicePrincipals/${path}`, {
        method,
        headers: { authorization: `Bearer ${await loop.daemonToken('operator', `${loop.origin}/.default`)}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const made = await (await graph('several/addPassword', { passwordCredential: { displayName: 'third' } })).json()
    expect(await mint('several', made.secretText)).toMatchObject({ status: 200 })
    expect(await typesOf('several')).toEqual([])
    expect((await graph('several/removePassword', { keyId: made.keyId })).status).toBe(204)
    expect(await typesOf('several')).toEqual(['session-revoked'])
    expect((await graph('several/removePassword', { keyId: made.keyId })).status).toBe(404)
    expect(await mint('several', made.secretText)).toMatchObject({ status: 401 })
    expect((await graph('sealed', { accountEnabled: false }, 'PATCH')).status).toBe(204)
    expect(await typesOf('sealed')).toEqual(['account-disabled'])
    expect((await graph('sealed', { accountEnabled: true }, 'PATCH')).status).toBe(204)
    expect(await typesOf('sealed')).toEqual(['account-disabled', 'account-enabled'])
    expect(await mint('several', OTHER)).toMatchObject({ status: 200 })
  })

  it('an expired secret is refused, and an application that lost its last one is nobody', async () => {
    expect(await mint('several', 'x'.repeat(20))).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    await loop.server.store.db.deleteFrom('credentials').where('app_id', '=', 'disabled').execute()
    expect(await loop.token({ grant_type: 'client_credentials', client_id: 'disabled', scope: DEFAULT })).toMatchObject({ status: 401 })
    await loop.server.apply(apps())
  })

  it('an unmodified ConfidentialClientApplication proves itself by a certificate, until that is removed', async () => {
    const msal = () =>
      new ConfidentialClientApplication({
        auth: {
          ...{ clientId: 'sealed', authority: loop.authority, knownAuthorities: [new URL(loop.authority).host] },
          clientCertificate: { thumbprintSha256: certificate.hex, privateKey: certificate.key },
        },
        system: { protocolMode: 'OIDC' },
      } as ConstructorParameters<typeof ConfidentialClientApplication>[0])
    const guard = await loop.guard()
    const client = msal()
    const first = await client.acquireTokenByClientCredential({ scopes: [DEFAULT] })
    expect(await verdictOf(guard, String(first?.accessToken))).toMatchObject({ allowed: true })
    const next = await client.acquireTokenByClientCredential({ scopes: [DEFAULT], skipCache: true })
    expect(next?.accessToken).not.toBe(first?.accessToken)

    await loop.server.apply(apps({ sealed: { clientSecret: SECRET } }))
    await eventually(
      () => verdictOf(guard, String(next?.accessToken)),
      (verdict) => !verdict.allowed,
    )
    await expect(msal().acquireTokenByClientCredential({ scopes: [DEFAULT] })).rejects.toMatchObject({ errorCode: 'invalid_client' })
    await loop.server.apply(apps())
  })

  it('an assertion is refused the second time, and when its certificate, time or signature is wrong', async () => {
    const key = createPrivateKey(certificate.key)
    const thumbprint = Buffer.from(certificate.hex, 'hex').toString('base64url')
    const assert = async (header: object = {}, claims: object = {}, signer = key) => {
      const now = Math.floor(Date.now() / 1000)
      const payload = { iss: 'sealed', sub: 'sealed', aud: loop.issuer, exp: now + 300, jti: randomUUID(), ...claims }
      return new SignJWT(payload).setProtectedHeader({ alg: 'PS256', kid: thumbprint, ...header }).sign(signer)
    }
    const show = (client_assertion: string) =>
      loop.token({
        ...{ grant_type: 'client_credentials', client_id: 'sealed', scope: DEFAULT, client_assertion },
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      })
    const good = await assert()
    expect(await show(good)).toMatchObject({ status: 200 })
    expect(await show(good)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    const once = await assert()
    expect((await Promise.all([show(once), show(once)])).map(({ status }) => status).sort()).toEqual([200, 401])
    const stranger = makeCertificate(folder, 'stranger')
    for (const wrong of [
      await assert({}, {}, createPrivateKey(stranger.key)),
      await assert({ kid: undefined, 'x5t#S256': Buffer.from(stranger.hex, 'hex').toString('base64url') }),
      await assert({}, { exp: Math.floor(Date.now() / 1000) + 3600 }),
      await assert({}, { aud: 'https://elsewhere.test' }),
      await assert({}, { sub: 'nightly' }),
    ])
      expect(await show(wrong)).toMatchObject({ body: { error: expect.stringMatching(/^invalid_(client|request)$/) } })
    await loop.server.store.db.updateTable('credentials').set({ expires_at: 1 }).where('app_id', '=', 'sealed').execute()
    expect(await show(await assert())).toMatchObject({ status: 401 })
  })

  it('an assertion that names its certificate may be shown again for ten minutes, to this token endpoint and nowhere else', async () => {
    await loop.server.apply(apps())
    const key = createPrivateKey(certificate.key)
    const thumbprint = Buffer.from(certificate.hex, 'hex').toString('base64url')
    const now = () => Math.floor(Date.now() / 1000)
    const assert = (claims: object = {}) => {
      const payload = { iss: 'sealed', sub: 'sealed', aud: `${loop.authority}/oauth2/v2.0/token`, nbf: now(), exp: now() + 600, jti: randomUUID() }
      return new SignJWT({ ...payload, ...claims }).setProtectedHeader({ alg: 'PS256', 'x5t#S256': thumbprint }).sign(key)
    }
    const proof = (client_assertion: string) => ({
      ...{ client_id: 'sealed', client_assertion, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' },
    })
    const show = async (assertion: string) => (await loop.token({ grant_type: 'client_credentials', scope: DEFAULT, ...proof(assertion) })).status
    const twice = async (assertion: string) => [await show(assertion), await show(assertion)]
    expect(await twice(await assert())).toEqual([200, 200])
    expect(await twice(await assert({ aud: loop.issuer }))).toEqual([200, 200])
    expect(await twice(await assert({ nbf: undefined, iat: now() }))).toEqual([200, 200])
    // Between two seconds, Microsoft's clients begin at the one and end by the other.
    expect(await twice(await assert({ iat: now(), exp: now() + 601 }))).toEqual([200, 200])
    // More than ten minutes, no beginning, or an audience besides: once.
    expect(await twice(await assert({ nbf: now() - 30 }))).toEqual([200, 401])
    expect(await twice(await assert({ nbf: undefined }))).toEqual([200, 401])
    expect(await twice(await assert({ aud: [loop.issuer, 'https://elsewhere.test'] }))).toEqual([200, 401])
    const elsewhere = await assert()
    const revoke = async () => {
      const body = new URLSearchParams({ token: 'x', ...proof(elsewhere) })
      return (await fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body })).status
    }
    expect([await revoke(), await revoke()]).toEqual([200, 401])
    expect(await show(await assert({ aud: loop.issuer.replace('contoso', 'other') }))).toBe(401)
    expect(await show(await assert({ iss: 'nightly', sub: 'nightly' }))).toBe(400)
  })

  it('a certificate is added and removed by the admin API', async () => {
    const fresh = makeCertificate(folder, 'fresh')
    const operator = await mintFor('operator', `${loop.origin}/.default`)
    const graph = (path: string, body: object) =>
      fetch(`${loop.origin}/v1.0/servicePrincipals/${path}`, {
        ...{ method: 'POST', body: JSON.stringify(body) },
        headers: { authorization: `Bearer ${operator}`, 'content-type': 'application/json' },
      })
    const made = await graph('nightly/addKey', { displayName: 'fresh', pem: fresh.pem })
    const { keyId } = (await made.json()) as { keyId: string }
    const assertion = () =>
      new SignJWT({ iss: 'nightly', sub: 'nightly', aud: loop.issuer, jti: randomUUID(), exp: Math.floor(Date.now() / 1000) + 300 })
        .setProtectedHeader({ alg: 'PS256' })
        .sign(createPrivateKey(fresh.key))
    const show = async () =>
      (
        await loop.token({
          ...{ grant_type: 'client_credentials', client_id: 'nightly', scope: DEFAULT, client_assertion: await assertion() },
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        })
      ).status
    expect(await show()).toBe(200)
    expect((await graph('nightly/addKey', { displayName: 'bad', pem: 'no certificate' })).status).toBe(400)
    expect((await graph('caegis-cli/addKey', { displayName: 'public', pem: fresh.pem })).status).toBe(400)
    expect((await graph('nightly/removeKey', { keyId })).status).toBe(204)
    expect(await show()).toBe(401)
    expect((await typesOf('nightly')).at(-1)).toBe('session-revoked')
  })

  it('a web application that has a secret never signs anybody in without it', async () => {
    const web = { type: 'web', redirectUris: ['https://web.test/back'], permissions: ['api://files/Files.Read'], clientSecret: SECRET }
    await loop.server.apply(apps({ web }))
    const options = { clientId: 'web', redirectUri: 'https://web.test/back', scope: 'api://files/Files.Read openid' }
    const flow = createFlow(loop, options)
    const code = await flow.code()
    expect(await flow.redeem(code)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect(await flow.redeem(code, { client_secret: OTHER })).toMatchObject({ status: 401 })
    const right = await flow.redeem(code, { client_secret: SECRET })
    expect(right.status).toBe(200)
    const refreshToken = String(right.body.refresh_token)
    expect((await flow.refresh(refreshToken)).status).toBe(401)
    expect((await flow.refresh(refreshToken, { client_secret: SECRET })).status).toBe(200)
    // Without a secret it is nobody; it does not become a public client.
    const { clientSecret: _, ...bare } = web
    await loop.server.apply(apps({ web: bare }))
    const { valid_from: t } = await loop.server.store.db
      .selectFrom('applications')
      .select('valid_from')
      .where('app_id', '=', 'web')
      .executeTakeFirstOrThrow()
    await eventually(
      () => Math.floor(Date.now() / 1000),
      (now) => now > t,
    )
    const again = createFlow(loop, options)
    expect(await again.redeem(await again.code())).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })

  it('the command line is not locked out', async () => {
    const operator = await mintFor('operator', `${loop.origin}/.default`)
    const answer = await fetch(`${loop.origin}/v1.0/servicePrincipals/caegis-cli`, {
      ...{ method: 'PATCH', body: JSON.stringify({ accountEnabled: false }) },
      headers: { authorization: `Bearer ${operator}`, 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining('command line') } })
    for (const appId of ['caegis-cli', 'caegis-account'])
      await expect((async () => loop.server.apply(file([{ appId, type: 'native', enabled: false }])))()).rejects.toMatchObject({
        code: 'invalid_tenant_file',
      })
    expect((await loop.server.store.db.selectFrom('applications').select('enabled').where('app_id', '=', 'caegis-cli').execute())[0]?.enabled).toBe(1)
  })
})
