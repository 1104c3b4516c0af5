import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const secrets = z.strictObject({ admin: z.string(), alice: z.string(), bob: z.string(), filesApi: z.string(), nightly: z.string() })
export type DemoSecrets = z.infer<typeof secrets>

export const DEMO = {
  tenant: 'contoso',
  admin: 'admin@contoso.test',
  users: ['alice@contoso.test', 'bob@contoso.test'],
  audience: 'api://files',
  scope: 'api://files/Files.Read',
  api: 'files-api',
  spa: 'files-spa',
  native: 'files-native',
  daemon: 'nightly',
} as const

/** Random, made once, kept for the owner of the data folder only: the sample tenant has no password that anybody could know. */
export function demoSecrets(data: string): DemoSecrets {
  const file = join(data, 'demo.json')
  if (!existsSync(file)) {
    const password = () => randomBytes(12).toString('base64url')
    const made: DemoSecrets = {
      admin: password(),
      alice: password(),
      bob: password(),
      filesApi: randomBytes(32).toString('base64url'),
      nightly: randomBytes(32).toString('base64url'),
    }
    writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  }
  return secrets.parse(JSON.parse(readFileSync(file, 'utf8')))
}

/** The sample tenant: JSON is YAML too. */
export function demoTenant(given: DemoSecrets, spaOrigin: string): string {
  return JSON.stringify({
    tenant: { name: DEMO.tenant, displayName: 'Contoso' },
    groups: [{ displayName: 'finance' }],
    users: [
      { userPrincipalName: DEMO.admin, displayName: 'Contoso Admin', password: given.admin, roles: ['admin'] },
      { userPrincipalName: DEMO.users[0], displayName: 'Alice', password: given.alice, groups: ['finance'] },
      { userPrincipalName: DEMO.users[1], displayName: 'Bob', password: given.bob },
    ],
    applications: [
      { appId: DEMO.api, displayName: 'Files', identifierUris: [DEMO.audience], scopes: ['Files.Read'], cae: true, clientSecret: given.filesApi },
      { appId: DEMO.spa, displayName: 'Files in the browser', type: 'spa', redirectUris: [`${spaOrigin}/`], permissions: [DEMO.scope] },
      { appId: DEMO.native, displayName: 'Files on the desktop', type: 'native', redirectUris: ['http://localhost'], permissions: [DEMO.scope] },
      { appId: DEMO.daemon, displayName: 'Nightly job', type: 'daemon', clientSecret: given.nightly, permissions: ['graph/User.ReadWrite.All'] },
    ],
  })
}
