interface Vector {
  from: 'RFC 7644' | 'Entra' | 'Okta'
  Operations: object[]
  /** What is different afterwards. */
  want: object
  /** The user has no address before. */
  without?: 'mail'
}

const WORK = 'emails[type eq "work"].value'
const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

/** PATCH bodies in the shapes that products send. */
export const PATCHES: Vector[] = [
  { from: 'Entra', Operations: [{ op: 'Replace', path: 'active', value: 'False' }], want: { enabled: false } },
  { from: 'Entra', Operations: [{ op: 'Replace', path: 'active', value: false }], want: { enabled: false } },
  { from: 'Entra', Operations: [{ op: 'Add', path: 'active', value: 'False' }], want: { enabled: false } },
  { from: 'Entra', Operations: [{ op: 'Replace', path: WORK, value: 'a@new.test' }], want: { mail: 'a@new.test' } },
  { from: 'Entra', Operations: [{ op: 'Add', path: WORK, value: 'a@new.test' }], want: { mail: 'a@new.test' }, without: 'mail' },
  { from: 'Entra', Operations: [{ op: 'Replace', path: WORK, value: 'a@new.test' }], want: { mail: 'a@new.test' }, without: 'mail' },
  {
    from: 'Entra',
    Operations: [
      { op: 'Replace', path: 'displayName', value: 'Al' },
      { op: 'Add', path: 'name.givenName', value: 'Al' },
      { op: 'Replace', path: `${ENTERPRISE}:department`, value: 'Retail' },
      { op: 'Replace', path: 'addresses[type eq "work"].formatted', value: 'Here' },
      { op: 'Add', path: `${ENTERPRISE}:manager`, value: '77' },
    ],
    want: { displayName: 'Al', givenName: 'Al' },
  },
  {
    from: 'Entra',
    Operations: [{ op: 'Add', value: { 'name.familyName': 'High', [WORK]: 'a@new.test', [`${ENTERPRISE}:department`]: 'Retail', active: 'True' } }],
    want: { surname: 'High', mail: 'a@new.test' },
  },
  { from: 'Entra', Operations: [{ op: 'Remove', path: 'name.familyName' }], want: { surname: null } },
  { from: 'Entra', Operations: [{ op: 'Replace', path: 'externalId', value: 'e-1' }], want: { externalId: 'e-1' } },
  { from: 'Okta', Operations: [{ op: 'replace', value: { active: false } }], want: { enabled: false } },
  { from: 'Okta', Operations: [{ op: 'replace', value: { password: 'a new password' } }], want: { password: 'a new password' } },
  { from: 'Okta', Operations: [{ op: 'replace', value: { id: '2', displayName: 'Al' } }], want: { displayName: 'Al' } },
  {
    from: 'RFC 7644',
    Operations: [{ op: 'replace', path: 'emails', value: [{ value: 'a@new.test', primary: true }] }],
    want: { mail: 'a@new.test' },
  },
  { from: 'RFC 7644', Operations: [{ op: 'add', path: 'emails', value: [{ value: 'a@new.test', primary: true }] }], want: { mail: 'a@new.test' } },
  { from: 'RFC 7644', Operations: [{ op: 'add', path: 'emails', value: [{ value: 'a@home.test', type: 'home' }] }], want: {} },
  { from: 'RFC 7644', Operations: [{ op: 'replace', path: 'emails[primary eq true].value', value: 'a@new.test' }], want: { mail: 'a@new.test' } },
  { from: 'RFC 7644', Operations: [{ op: 'remove', path: 'emails[type eq "work"]' }], want: { mail: null } },
  { from: 'RFC 7644', Operations: [{ op: 'remove', path: 'emails' }], want: { mail: null } },
  { from: 'RFC 7644', Operations: [{ op: 'replace', path: 'name', value: { givenName: 'Al' } }], want: { givenName: 'Al' } },
  { from: 'RFC 7644', Operations: [{ op: 'replace', path: 'NAME.GIVENNAME', value: 'Al' }], want: { givenName: 'Al' } },
  { from: 'RFC 7644', Operations: [{ op: 'replace', path: 'name.givenName', value: null }], want: { givenName: null } },
  {
    from: 'RFC 7644',
    Operations: [{ op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User:name.givenName', value: 'Al' }],
    want: { givenName: 'Al' },
  },
  { from: 'RFC 7644', Operations: [{ op: 'replace', path: 'nickName', value: 'Al' }], want: {} },
  { from: 'RFC 7644', Operations: [{ op: 'replace', value: { DISPLAYNAME: 'Al', nickName: 'x' } }], want: { displayName: 'Al' } },
]

export const REFUSED: { Operations: unknown[]; scimType: string }[] = [
  { Operations: [{ op: 'replace', path: 'active', value: 'no' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'active', value: 0 }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'active' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'userName', value: 'alice' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'remove', path: 'userName' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'displayName', value: { a: 1 } }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'password', value: 'short' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: 'emails', value: 'x' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', path: WORK, value: 'no address' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'replace', value: 'x' }], scimType: 'invalidValue' },
  { Operations: [{ op: 'remove' }], scimType: 'noTarget' },
  { Operations: [{ op: 'replace', path: 'emails[type ne "work"].value', value: 'a@new.test' }], scimType: 'noTarget' },
  { Operations: [{ op: 'replace', path: 'name.givenName.x', value: 'Al' }], scimType: 'invalidPath' },
  { Operations: [{ op: 'replace', path: 'displayName.x', value: 'Al' }], scimType: 'invalidPath' },
  { Operations: [{ op: 'replace', path: 'active[x eq 1]', value: false }], scimType: 'invalidPath' },
  { Operations: [{ op: 'replace', path: '..', value: false }], scimType: 'invalidPath' },
  { Operations: [{ op: 'replace', path: 'emails[constructor eq "x"].value', value: 'a@new.test' }], scimType: 'invalidFilter' },
  { Operations: [{ op: 'replace', path: 'emails[type eq].value', value: 'a@new.test' }], scimType: 'invalidFilter' },
  { Operations: [{ op: 'move', path: 'active', value: false }], scimType: 'invalidSyntax' },
  { Operations: ['x'], scimType: 'invalidSyntax' },
  { Operations: Array.from({ length: 1001 }, () => ({ op: 'replace', path: 'active', value: false })), scimType: 'invalidSyntax' },
]
