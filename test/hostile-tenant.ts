import { PASSWORD, SCOPE, SECRET } from './loop.ts'

/** A tenant whose names are markup, with one application for each thing that an attacker would like to be. */
export const HOSTILE_TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: '<img src=x onerror=alert(1)>"\'' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write'], cae: true, clientSecret: SECRET },
    { appId: 'nested-api', identifierUris: ['api://files/nested'], scopes: ['Nested.Read'] },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], displayName: '</p><script>alert(1)</script>' },
    { appId: 'other-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE, 'api://files/nested/Nested.Read'] },
    { appId: 'spa', type: 'spa', redirectUris: ['http://localhost:8445/'], permissions: [SCOPE] },
    {
      appId: 'portal',
      type: 'web',
      redirectUris: ['https://portal.test/in'],
      permissions: ['graph/User.ReadWrite.All', SCOPE],
      clientSecret: SECRET,
    },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})
