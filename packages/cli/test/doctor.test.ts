import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { afterAll, describe, expect, it } from 'vitest'
import { checkBrokers, checkData, checkNode } from '../src/doctor/host.ts'
import { checkCertificate, checkClock } from '../src/doctor/server.ts'
import { checkLdap, checkProxies, checkSignedIn, checkStreams, checkUpstreams } from '../src/doctor/tenant.ts'

const folder = mkdtempSync(join(tmpdir(), 'caegis-doctor-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const state = (found: { state: string } | undefined) => found?.state

describe('what the doctor looks at on the host', () => {
  it('the Node that runs', () => {
    expect(checkNode('24.21.0').state).toBe('ok')
    expect(checkNode('20.1.0')).toMatchObject({ state: 'fail', next: expect.stringContaining('24') })
  })

  it('who may read the data, and whether there is room', () => {
    const data = join(folder, 'data')
    expect(checkData(data)).toMatchObject([{ check: 'data folder', state: 'skipped' }])
    mkdirSync(join(data, 'tls'), { recursive: true, mode: 0o700 })
    writeFileSync(join(data, 'caegis.db'), '', { mode: 0o600 })
    writeFileSync(join(data, 'tls', 'ca-key.pem'), '', { mode: 0o600 })
    // What is for everybody: the authority's certificate.
    writeFileSync(join(data, 'tls', 'ca.pem'), '', { mode: 0o644 })
    expect(checkData(data, () => 10 * 1024 ** 3).map(state)).toEqual(['ok', 'ok'])
    for (const [path, mode, state] of [
      ['caegis.db', 0o644, 'warn'],
      ['tls/ca-key.pem', 0o640, 'warn'],
      ['.', 0o755, 'fail'],
      ['.', 0o710, 'fail'],
    ] as const) {
      chmodSync(join(data, path), mode)
      expect(checkData(data)[0], path).toMatchObject({ state, says: expect.stringContaining(join(data, path)), next: `chmod -R go= ${data}` })
      chmodSync(join(data, path), path === '.' ? 0o700 : 0o600)
    }
    expect(checkData(data, () => 1024 ** 3)[1]).toMatchObject({ check: 'disk', state: 'warn' })
    expect(checkData(data, () => 1024 ** 2)[1]).toMatchObject({ check: 'disk', state: 'fail' })
    // Without a stub: the disk that the tests run on.
    expect(checkData(data)[1]?.says).toMatch(/^\d+\.\d GiB are free$/)
    // The rows are in PostgreSQL: what is left is as private.
    rmSync(join(data, 'caegis.db'))
    expect(checkData(data)).toMatchObject([{ check: 'data folder', state: 'ok' }])
    chmodSync(join(data, 'tls', 'ca-key.pem'), 0o640)
    expect(checkData(data)).toMatchObject([{ check: 'data folder', state: 'warn', says: expect.stringContaining('ca-key.pem') }])
    // Who only trusts the authority has no data.
    rmSync(join(data, 'tls', 'ca-key.pem'))
    expect(checkData(data)).toMatchObject([{ check: 'data folder', state: 'skipped' }])
  })

  it('no broker where none is meant, and what is no URL', async () => {
    expect(await checkBrokers(undefined)).toMatchObject([{ state: 'skipped' }])
    expect(await checkBrokers('nonsense')).toMatchObject([{ state: 'fail' }])
  })
})

describe('what the doctor says of a server', () => {
  it('its certificate', () => {
    const now = Date.parse('2026-01-01')
    const until = (date: string) => new Date(date)
    const of = (problem: string | undefined, end: string) => checkCertificate({ problem, until: until(end) }, 'id.example', '/data', now)
    expect(of(undefined, '2026-03-01')).toMatchObject({ state: 'ok', says: expect.stringContaining('59') })
    expect(of(undefined, '2026-01-10')).toMatchObject({ state: 'warn', says: 'it ends in 9 days' })
    expect(of('CERT_HAS_EXPIRED', '2025-12-31')).toMatchObject({ state: 'fail', says: 'it ended on 2025-12-31' })
    expect(of('ERR_TLS_CERT_ALTNAME_INVALID', '2026-03-01')).toMatchObject({ state: 'fail', says: 'it is not for id.example' })
    expect(of('SELF_SIGNED_CERT_IN_CHAIN', '2026-03-01')).toMatchObject({ state: 'fail', next: expect.stringContaining('CAEGIS_DATA') })
  })

  it('its clock, by the second that an answer names', () => {
    expect(checkClock(1000, 1_000_900).state).toBe('ok')
    expect(checkClock(1000, 1_004_000).state).toBe('ok')
    expect(checkClock(1000, 1_020_700)).toMatchObject({ state: 'warn', says: expect.stringContaining('20 s apart (this machine is ahead)') })
    expect(checkClock(1100, 1_000_000)).toMatchObject({ state: 'fail', says: expect.stringContaining('this machine is behind') })
  })

  it('its proxies: nobody before it, one that is not believed, one that is, one too few', () => {
    expect(checkProxies({ address: '192.0.2.1', peer: '192.0.2.1', forwarded: false }).state).toBe('ok')
    expect(checkProxies({ address: '10.0.0.1', peer: '10.0.0.1', forwarded: true })).toMatchObject({
      state: 'warn',
      next: expect.stringContaining('CAEGIS_TRUSTED_PROXIES=10.0.0.1'),
    })
    expect(checkProxies({ address: '192.0.2.1', peer: '10.0.0.1', forwarded: true }).state).toBe('ok')
    expect(checkProxies({ address: '', peer: '10.0.0.1', forwarded: true }).state).toBe('warn')
  })

  it('its receivers, what it listens to, and where its people come from', () => {
    const stream = { id: 's1', appId: 'files-api', status: 'enabled', statusReason: null, lag: { rows: 0, seconds: 0 }, live: true, deadLetters: 0 }
    const of = (more: Partial<typeof stream> | { live: boolean | null; statusReason: string }) => checkStreams([stream, { ...stream, ...more }])
    expect(of({})).toMatchObject([{ state: 'ok' }])
    expect(checkStreams([])).toMatchObject([{ state: 'warn' }])
    expect(of({ status: 'disabled' })).toMatchObject([{ state: 'fail', next: 'caegis stream enable s1' }])
    expect(of({ status: 'paused' })).toMatchObject([{ state: 'warn' }])
    expect(of({ live: false })).toMatchObject([
      {
        state: 'warn',
        says: expect.stringContaining('was not heard of'),
        next: expect.stringMatching(/tokens for files-api are short .*caegis stream rm s1$/),
      },
    ])
    expect(of({ lag: { rows: 3, seconds: 300 } })).toMatchObject([{ state: 'warn', says: expect.stringContaining('3 events and 300 s behind') }])
    expect(of({ lag: { rows: 1, seconds: 300 } })).toMatchObject([{ state: 'warn', says: expect.stringContaining('is 1 event and 300 s behind') }])
    expect(of({ lag: { rows: 3, seconds: 3 } })).toMatchObject([{ state: 'ok' }])
    expect(of({ deadLetters: 2 })).toMatchObject([{ state: 'warn', next: expect.stringContaining('redeliver') }])
    const upstream = { id: 'u1', displayName: 'IdP', enabled: true, status: { state: 'listening', stale: false, error: null } }
    expect(checkUpstreams([])).toMatchObject([{ state: 'skipped' }])
    expect(checkUpstreams([upstream])).toMatchObject([{ state: 'ok' }])
    expect(checkUpstreams([{ ...upstream, status: { state: 'x', stale: true, error: null } }])).toMatchObject([{ state: 'fail' }])
    expect(checkUpstreams([{ ...upstream, enabled: false, status: { state: 'x', stale: true, error: null } }])).toMatchObject([{ state: 'skipped' }])
    expect(checkLdap(null).state).toBe('skipped')
    expect(checkLdap({ name: 'ldap', state: 'ok', lastError: null }).state).toBe('ok')
    expect(checkLdap({ name: 'ldap', state: 'failing', lastError: { code: 'x', message: 'refused' } })).toMatchObject({
      state: 'fail',
      says: expect.stringContaining('refused'),
    })
  })

  it('the sign-in, with one advice for what keeps somebody out', async () => {
    const failing = (error: Error) =>
      checkSignedIn(async () => {
        throw error
      }, 'acme')
    expect(await failing(new CaegisError('tenant_stopped', 'Stopped. On the host: caegis recover acme'))).toEqual([
      { check: 'sign-in', state: 'fail', says: 'Stopped. On the host: caegis recover acme (tenant_stopped)' },
    ])
    expect(await failing(new CaegisError('not_signed_in', 'No.'))).toMatchObject([{ next: 'caegis login --tenant acme' }])
  })
})
