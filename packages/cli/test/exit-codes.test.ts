import { CaegisError } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { CLI_ERRORS } from '../src/errors.ts'
import { EXIT, exitCodeOf } from '../src/exit-codes.ts'

const refusal = (status: number) => new CaegisError('refused', 'The server refused.', { detail: { status } })
const failed = (code: string) => Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error(code), { code }) })

describe('exit codes', () => {
  it('are all different, and 0 is success alone', () => {
    const codes = Object.values(EXIT).map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
    expect(EXIT.ok.code).toBe(0)
    // What shells use for themselves: 126 and more.
    expect(codes.every((code) => code < 64)).toBe(true)
  })

  it.each([
    [new CaegisError('not_signed_in', ''), EXIT.notSignedIn],
    [new CaegisError('other_tenant', ''), EXIT.notSignedIn],
    [new CaegisError('client_refused', ''), EXIT.notSignedIn],
    [new CaegisError('other_origin', ''), EXIT.unreachable],
    [refusal(401), EXIT.notSignedIn],
    [Object.assign(new Error('invalid_client: no'), { name: 'ServerError', errorCode: 'invalid_client' }), EXIT.notSignedIn],
    [refusal(403), EXIT.refused],
    [new CaegisError('tenant_stopped', ''), EXIT.refused],
    [refusal(404), EXIT.notFound],
    [new CaegisError('no_data', ''), EXIT.notFound],
    [new CaegisError('data_moved', ''), EXIT.conflict],
    [new CaegisError('database_not_empty', ''), EXIT.conflict],
    [new CaegisError('wrong_key_secret', ''), EXIT.usage],
    [new CaegisError('database_unreachable', ''), EXIT.unreachable],
    [refusal(409), EXIT.conflict],
    [refusal(412), EXIT.conflict],
    [refusal(400), EXIT.usage],
    [new CaegisError('invalid_tenant_file', ''), EXIT.usage],
    [Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT', syscall: 'open' }), EXIT.usage],
    [refusal(503), EXIT.unreachable],
    [failed('ECONNREFUSED'), EXIT.unreachable],
    [failed('UND_ERR_CONNECT_TIMEOUT'), EXIT.unreachable],
    [failed('DEPTH_ZERO_SELF_SIGNED_CERT'), EXIT.unreachable],
    [failed('ERR_TLS_CERT_ALTNAME_INVALID'), EXIT.unreachable],
    [Object.assign(new Error('network'), { name: 'ClientAuthError', errorCode: 'network_error' }), EXIT.unreachable],
    [new CaegisError('not_confirmed', ''), EXIT.unconfirmed],
    [refusal(500), EXIT.failed],
    [Object.assign(new Error('taken'), { code: 'EADDRINUSE', syscall: 'listen' }), EXIT.failed],
    [new TypeError('a bug'), EXIT.failed],
    ['text', EXIT.failed],
    [undefined, EXIT.failed],
  ])('%s', (error, { code }) => {
    expect(exitCodeOf(error)).toBe(code)
  })

  it('are chosen for every error of this command', () => {
    const left = Object.keys(CLI_ERRORS).filter((code) => code !== 'refused' && exitCodeOf(new CaegisError(code, '')) === EXIT.failed.code)
    expect(left).toEqual([])
  })
})
