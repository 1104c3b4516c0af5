import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog, createServer, readSettings, type SettingsInput } from '../src/index.ts'

const SECRET = 'k'.repeat(32)

describe('readSettings', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'caegis-settings-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const read = (input: SettingsInput = {}) => readSettings({ CAEGIS_DATA: join(folder, 'data'), ...input })
  const refusal = (input: SettingsInput): CaegisError => {
    try {
      read(input)
    } catch (error) {
      if (error instanceof CaegisError) return error
      throw error
    }
    throw new Error('it was accepted')
  }
  const fileWith = (content: string) => {
    const file = join(folder, 'secret.txt')
    writeFileSync(file, content)
    return file
  }

  it('has defaults for one machine: loopback, own certificate, nobody trusted to forward', () => {
    const settings = read()
    expect(settings).toMatchObject({
      ...{ origin: 'https://localhost:8443', port: 8443, host: 'localhost', data: join(folder, 'data') },
      ...{
        tls: { kind: 'own' },
        trustedProxies: [],
        logLevel: 'info',
        maxStaleness: 30,
        retention: 7 * 86_400,
        logRetention: 30 * 86_400,
        legacyDraft: false,
      },
    })
    expect(Object.isFrozen(settings)).toBe(true)
    expect((statSync(settings.data).mode & 0o777).toString(8)).toBe('700')
  })

  it('takes the origin from the port, unless it is named', () => {
    expect(read({ CAEGIS_PORT: '9000' }).origin).toBe('https://localhost:9000')
    expect(read({ CAEGIS_PORT: '9000', CAEGIS_ORIGIN: 'https://id.example' })).toMatchObject({ origin: 'https://id.example', port: 9000 })
  })

  const VALUE = 'hunter2-hunter2'
  const refused: [string, SettingsInput, string][] = [
    ['a database of another kind', { DATABASE_URL: `mysql://caegis:${VALUE}@db/caegis` }, 'DATABASE_URL'],
    ['a server without a database', { DATABASE_URL: `postgres://caegis:${VALUE}@db` }, 'DATABASE_URL'],
    ['a TLS that trusts whoever answers', { DATABASE_URL: `postgres://caegis:${VALUE}@db/caegis?sslmode=require` }, 'DATABASE_URL'],
    ['an option that would be ignored', { DATABASE_URL: `postgres://db/caegis?options=${VALUE}` }, 'DATABASE_URL'],
    ['a certificate that is not there', { DATABASE_URL: `postgres://db/caegis?sslrootcert=/${VALUE}` }, 'DATABASE_URL'],
    ['a database and no key secret', { DATABASE_URL: `postgres://caegis:${VALUE}@db/caegis` }, 'CAEGIS_KEY_SECRET'],
    ['a database twice', { DATABASE_URL: `postgres://db/${VALUE}`, DATABASE_URL_FILE: `/${VALUE}` }, 'DATABASE_URL'],
    ['no connections', { CAEGIS_DATABASE_CONNECTIONS: '0' }, 'CAEGIS_DATABASE_CONNECTIONS'],
    ['a password in the URL of a broker', { NATS_URL: `nats://caegis:${VALUE}@nats` }, 'NATS_URL'],
    ['a broker that is none', { NATS_URL: `https://${VALUE}` }, 'NATS_URL'],
    ['a broker with TLS and one without', { NATS_URL: 'tls://one,nats://two' }, 'NATS_URL'],
    ['a user of a broker without a password', { NATS_URL: 'tls://nats', NATS_USER: VALUE }, 'NATS_USER'],
    ['a password and a token of a broker', { NATS_URL: 'tls://nats', NATS_USER: 'a', NATS_PASSWORD: VALUE, NATS_TOKEN: VALUE }, 'NATS_PASSWORD'],
    ['a token of a broker twice', { NATS_URL: 'tls://nats', NATS_TOKEN: VALUE, NATS_TOKEN_FILE: '/nowhere' }, 'NATS_TOKEN'],
    ['a port that is no number', { CAEGIS_PORT: VALUE }, 'CAEGIS_PORT'],
    ['a port out of range', { CAEGIS_PORT: '65536' }, 'CAEGIS_PORT'],
    ['a negative port', { CAEGIS_PORT: '-1' }, 'CAEGIS_PORT'],
    ['a fraction of a port', { CAEGIS_PORT: '80.5' }, 'CAEGIS_PORT'],
    ['any free port', { CAEGIS_PORT: '0' }, 'CAEGIS_PORT'],
    ['an empty port', { CAEGIS_PORT: '' }, 'CAEGIS_PORT'],
    ['an origin that is no URL', { CAEGIS_ORIGIN: VALUE }, 'CAEGIS_ORIGIN'],
    ['a plain http origin', { CAEGIS_ORIGIN: 'http://id.example' }, 'CAEGIS_ORIGIN'],
    ['an origin with a path', { CAEGIS_ORIGIN: 'https://id.example/auth' }, 'CAEGIS_ORIGIN'],
    ['an origin with a trailing slash', { CAEGIS_ORIGIN: 'https://id.example/' }, 'CAEGIS_ORIGIN'],
    ['an origin with credentials', { CAEGIS_ORIGIN: `https://caegis:${VALUE}@id.example` }, 'CAEGIS_ORIGIN'],
    ['an origin in capitals', { CAEGIS_ORIGIN: 'https://ID.example' }, 'CAEGIS_ORIGIN'],
    ['an origin with its default port', { CAEGIS_ORIGIN: 'https://id.example:443' }, 'CAEGIS_ORIGIN'],
    ['proxies that are no ranges', { CAEGIS_TRUSTED_PROXIES: `10.0.0.0/8, ${VALUE}` }, 'CAEGIS_TRUSTED_PROXIES'],
    ['a range that is too long', { CAEGIS_TRUSTED_PROXIES: '10.0.0.0/33' }, 'CAEGIS_TRUSTED_PROXIES'],
    ['an unknown log level', { CAEGIS_LOG: VALUE }, 'CAEGIS_LOG'],
    ['an unknown word for TLS', { CAEGIS_TLS: VALUE }, 'CAEGIS_TLS'],
    ['a certificate without a key', { CAEGIS_TLS_CERT: `/${VALUE}.pem` }, 'CAEGIS_TLS_CERT'],
    ['a key without a certificate', { CAEGIS_TLS_KEY: `/${VALUE}.pem` }, 'CAEGIS_TLS_CERT'],
    ['a retention that is no number', { CAEGIS_RETENTION: VALUE }, 'CAEGIS_RETENTION'],
    ['a retention in another unit', { CAEGIS_RETENTION: '7d' }, 'CAEGIS_RETENTION'],
    ['a fraction of a retention', { CAEGIS_RETENTION: '29.5' }, 'CAEGIS_RETENTION'],
    ['an empty retention', { CAEGIS_RETENTION: '' }, 'CAEGIS_RETENTION'],
    ['a key rotation without a number', { CAEGIS_KEY_ROTATION: VALUE }, 'CAEGIS_KEY_ROTATION'],
    ['a loop limit without a number', { CAEGIS_LOOP_LIMIT: VALUE }, 'CAEGIS_LOOP_LIMIT'],
    ['a loop limit that hits everybody', { CAEGIS_LOOP_LIMIT: '49' }, 'CAEGIS_LOOP_LIMIT'],
    ['no key rotation', { CAEGIS_KEY_ROTATION: '0' }, 'CAEGIS_KEY_ROTATION'],
    ['an endless retention', { CAEGIS_RETENTION: '999999' }, 'CAEGIS_RETENTION'],
    ['records for no time', { CAEGIS_LOG_RETENTION: '0' }, 'CAEGIS_LOG_RETENTION'],
    ['records for a time in another unit', { CAEGIS_LOG_RETENTION: `30${VALUE}` }, 'CAEGIS_LOG_RETENTION'],
    ['an unknown word for the draft', { CAEGIS_SSF_LEGACY_DRAFT: VALUE }, 'CAEGIS_SSF_LEGACY_DRAFT'],
    ['a short key secret', { CAEGIS_KEY_SECRET: VALUE }, 'CAEGIS_KEY_SECRET'],
    ['an empty key secret', { CAEGIS_KEY_SECRET: '' }, 'CAEGIS_KEY_SECRET'],
    ['two key secrets', { CAEGIS_KEY_SECRET: SECRET + VALUE, CAEGIS_KEY_SECRET_FILE: `/${VALUE}` }, 'CAEGIS_KEY_SECRET'],
    ['a key secret file that is not there', { CAEGIS_KEY_SECRET_FILE: `/nowhere/${VALUE}` }, 'CAEGIS_KEY_SECRET_FILE'],
  ]
  it.each(refused)('refuses %s, and does not repeat it', (_, input, name) => {
    const { code, message, detail } = refusal(input)
    expect(code).toBe('invalid_settings')
    expect(message.startsWith(`${name} `)).toBe(true)
    expect(message + JSON.stringify(detail ?? '')).not.toContain(VALUE)
  })

  it('refuses a key secret file with too short a content, without its content', () => {
    const { code, message } = refusal({ CAEGIS_KEY_SECRET_FILE: fileWith(`${VALUE}\n${' '.repeat(40)}`) })
    expect(code).toBe('invalid_settings')
    expect(message).not.toContain(VALUE)
  })

  it('knows brokers, and the secret for them from the environment or a file', () => {
    const both = { NATS_URL: 'tls://one:4222, tls://two' }
    expect(read({ ...both, NATS_USER: 'caegis', NATS_PASSWORD_FILE: fileWith(`${VALUE}\n`) }).nats).toEqual({
      ...{ servers: ['tls://one:4222', 'tls://two'], tls: true },
      ...{ user: 'caegis', password: VALUE },
    })
    expect(read({ NATS_URL: 'nats://localhost', NATS_TOKEN: VALUE }).nats).toEqual({ servers: ['nats://localhost'], tls: false, token: VALUE })
    expect(read({ ...both, NATS_CREDS: VALUE }).nats).toMatchObject({ creds: VALUE })
    expect(read({}).nats).toBeUndefined()
  })

  it('knows an LDAP directory by a file, and its password from the environment or a file of its own', async () => {
    const file = join(folder, 'ldap.yaml')
    const base = 'tenant: nowhere\nname: hq\nurl: ldaps://ldap.example\nbaseDn: dc=example\n'
    writeFileSync(file, base)
    const { ldap } = read({ CAEGIS_LDAP: file, CAEGIS_LDAP_PASSWORD: VALUE })
    expect(ldap).toMatchObject({ password: VALUE, config: { source: 'ldap:hq', interval: 30, onVanish: 'disable' } })
    const secret = fileWith(`${VALUE}\n`)
    expect(read({ CAEGIS_LDAP: file, CAEGIS_LDAP_PASSWORD_FILE: secret }).ldap).toMatchObject({ password: VALUE })
    const wrong = [
      refusal({ CAEGIS_LDAP: file, CAEGIS_LDAP_PASSWORD: VALUE, CAEGIS_LDAP_PASSWORD_FILE: secret }),
      refusal({ CAEGIS_LDAP: file, CAEGIS_LDAP_PASSWORD_FILE: `/nowhere/${VALUE}` }),
    ]
    writeFileSync(file, `${base}password: ${VALUE}\n`)
    wrong.push(refusal({ CAEGIS_LDAP: file }))
    expect(wrong.map(({ code }) => code)).toEqual(['invalid_settings', 'invalid_settings', 'invalid_ldap_config'])
    expect(wrong.map(({ message }) => message).join()).not.toContain(VALUE)
    // A tenant that is not there would never get anybody: it does not start.
    writeFileSync(file, base)
    const server = await createServer({ settings: read({ CAEGIS_LDAP: file, CAEGIS_PORT: '1', CAEGIS_LOG: 'silent' }) })
    await expect(server.listen()).rejects.toMatchObject({ code: 'tenant_not_found', message: expect.stringContaining('nowhere') })
    await server.close()
  })

  it('B9: keeps the log for hours, never for less than a token may live', () => {
    expect(read({ CAEGIS_RETENTION: '29' }).retention).toBe(29 * 3600)
    for (const hours of ['0', '28']) expect(refusal({ CAEGIS_RETENTION: hours }).message).toContain('29')
    expect(read({ CAEGIS_RETENTION: '720' }).retention).toBe(30 * 86_400)
  })

  it('speaks the form of the implementer’s draft only when told', () => {
    expect(read({ CAEGIS_SSF_LEGACY_DRAFT: 'on' }).legacyDraft).toBe(true)
    expect(read({ CAEGIS_SSF_LEGACY_DRAFT: 'off' }).legacyDraft).toBe(false)
  })

  describe('TLS off', () => {
    const behind = { CAEGIS_TLS: 'off', CAEGIS_TRUSTED_PROXIES: '10.0.0.0/8', CAEGIS_ORIGIN: 'https://id.example' }
    it('is for the last hop behind a proxy that ends TLS', () => {
      expect(read(behind)).toMatchObject({ tls: { kind: 'off' }, trustedProxies: ['10.0.0.0/8'], origin: 'https://id.example' })
    })
    it.each(['CAEGIS_TRUSTED_PROXIES', 'CAEGIS_ORIGIN'] as const)('is refused without %s', (name) => {
      expect(refusal({ ...behind, [name]: undefined }).code).toBe('invalid_settings')
      expect(refusal({ ...behind, [name]: '' }).code).toBe('invalid_settings')
    })
    it('is refused with an http origin', () => {
      expect(refusal({ ...behind, CAEGIS_ORIGIN: 'http://id.example' }).code).toBe('invalid_settings')
    })
    it('is refused together with a certificate, which would never be used', () => {
      expect(refusal({ ...behind, CAEGIS_TLS_CERT: '/c.pem', CAEGIS_TLS_KEY: '/k.pem' }).code).toBe('invalid_settings')
    })
    it('does not happen by leaving things out', () => {
      expect(read({ CAEGIS_TRUSTED_PROXIES: '10.0.0.0/8', CAEGIS_ORIGIN: 'https://id.example' }).tls).toEqual({ kind: 'own' })
      expect(read({ CAEGIS_TLS: 'on' }).tls).toEqual({ kind: 'own' })
    })
  })

  describe('the key secret', () => {
    it('is a random file for the owner only when none is given, and the same at every start', () => {
      const first = read().keySecret
      const file = join(folder, 'data', 'key-secret')
      expect((statSync(file).mode & 0o777).toString(8)).toBe('600')
      expect(first).toEqual({ value: readFileSync(file, 'utf8').trim(), from: 'file' })
      expect(first.value.length).toBeGreaterThanOrEqual(64)
      expect(read().keySecret).toEqual(first)
      expect(read({ CAEGIS_DATA: join(folder, 'other') }).keySecret.value).not.toBe(first.value)
    })
    it('comes from the environment or from a file, and then none is made', () => {
      expect(read({ CAEGIS_KEY_SECRET: SECRET }).keySecret).toEqual({ value: SECRET, from: 'environment' })
      expect(read({ CAEGIS_KEY_SECRET_FILE: fileWith(`${SECRET}\n`) }).keySecret).toEqual({ value: SECRET, from: 'environment' })
      expect(existsSync(join(folder, 'data', 'key-secret'))).toBe(false)
    })
    it('C4: is said to lie beside the data at every start, and only then', async () => {
      const startWith = async (input: SettingsInput) => {
        let said = ''
        const log = createLog('warn', (line) => {
          said += line
        })
        const server = await createServer({ settings: read(input), log })
        await server.close()
        return said
      }
      for (let start = 0; start < 2; start++) expect(await startWith({})).toContain('CAEGIS_KEY_SECRET')
      expect(await startWith({ CAEGIS_DATA: join(folder, 'other'), CAEGIS_KEY_SECRET: SECRET })).toBe('')
    })
  })
})
