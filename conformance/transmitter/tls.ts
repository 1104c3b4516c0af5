import { connect, type SecureVersion } from 'node:tls'
import type { Notes } from '../notes.ts'

const SPEC = 'CAEP Interop section 2.1, RFC 9325 section 3.1.1'

type Outcome = { is: 'agreed'; version: string } | { is: 'refused' } | { is: 'unknown'; why: string }

/** Checks which versions of TLS an origin speaks: 1.2 or newer, nothing older, 1.3 before 1.2. */
export async function checkTls(notes: Notes, origin: string, timeout: number): Promise<void> {
  const { hostname, port } = new URL(origin)
  const at = (least: SecureVersion, most: SecureVersion) => negotiate(hostname.replace(/^\[|\]$/g, ''), Number(port || 443), least, most, timeout)
  const [best, newest, older, oldest] = await Promise.all([
    at('TLSv1.2', 'TLSv1.3'),
    at('TLSv1.3', 'TLSv1.3'),
    at('TLSv1.1', 'TLSv1.1'),
    at('TLSv1', 'TLSv1'),
  ])
  if (!notes.must(best.is === 'agreed', SPEC, `${origin} speaks neither TLS 1.2 nor 1.3${best.is === 'unknown' ? ` (${best.why})` : ''}`)) return
  notes.must(older.is !== 'agreed', SPEC, `${origin} speaks TLS 1.1`)
  notes.must(oldest.is !== 'agreed', SPEC, `${origin} speaks TLS 1.0`)
  if (notes.should(newest.is === 'agreed', SPEC, `${origin} does not speak TLS 1.3`)) {
    notes.must(best.is === 'agreed' && best.version === 'TLSv1.3', SPEC, `${origin} prefers TLS 1.2 although it speaks 1.3`)
  }
}

/** Only the version matters here, so the certificate is not judged: every other exchange of the suite does that. */
function negotiate(host: string, port: number, minVersion: SecureVersion, maxVersion: SecureVersion, timeout: number): Promise<Outcome> {
  return new Promise((resolve) => {
    // Without the security level OpenSSL does not even offer the old versions.
    const socket = connect({ host, port, servername: host, minVersion, maxVersion, ciphers: 'DEFAULT@SECLEVEL=0', rejectUnauthorized: false })
    const end = (outcome: Outcome) => {
      socket.destroy()
      resolve(outcome)
    }
    socket.setTimeout(timeout, () => end({ is: 'unknown', why: 'no answer' }))
    socket.once('secureConnect', () => end({ is: 'agreed', version: socket.getProtocol() ?? '' }))
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) =>
      end(code.startsWith('ERR_SSL') || code === 'ECONNRESET' || code === 'EPROTO' ? { is: 'refused' } : { is: 'unknown', why: code }),
    )
  })
}
