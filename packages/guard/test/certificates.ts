import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** As `openssl` makes one; nobody vouches for it, which RFC 8705 section 2.2 does not ask for. */
export function makeCertificate(name: string): { cert: string; key: string; thumbprint: string } {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-mtls-'))
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', keyFile, '-out', certFile, '-subj', `/CN=${name}`], { stdio: 'ignore' })
  const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')]
  rmSync(folder, { recursive: true })
  return { cert, key, thumbprint: createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url') }
}
