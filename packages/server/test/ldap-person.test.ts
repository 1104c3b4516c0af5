import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readLdapConfig } from '../src/ldap/config.ts'
import { toGeneralizedTime, toPerson, wantedAttributes } from '../src/ldap/person.ts'
import { afterStamps, changedSince, type Position } from '../src/ldap/position.ts'

interface Case {
  description: string
  kind: 'openldap' | 'active-directory'
  domain?: string
  disabled?: object
  attributes?: object
  in: Record<string, string[]>
  want: Record<string, unknown> | null
}
const { cases } = JSON.parse(readFileSync(new URL('vectors/ldap.json', import.meta.url), 'utf8')) as { cases: Case[] }
const NOW = Date.UTC(2026, 10, 22, 9) / 1000
const base = { tenant: 'contoso', name: 'hq', url: 'ldaps://ldap.example', baseDn: 'dc=example' }
const bytes = (text: string) => (text.startsWith('base64:') ? Buffer.from(text.slice(7), 'base64') : Buffer.from(text))

describe('what an entry says of a person', () => {
  it.each(cases)('$description', ({ kind, domain, disabled, attributes, in: given, want }) => {
    const config = readLdapConfig(undefined, {
      ...base,
      kind,
      ...(domain ? { domain } : {}),
      ...(disabled ? { disabled } : {}),
      ...(attributes ? { attributes } : {}),
    })
    const values = new Map(Object.entries(given).map(([name, texts]) => [name.toLowerCase(), texts.map(bytes)]))
    const person = toPerson({ dn: 'cn=x', values }, { ...config, digest: (value) => `digest of ${value}` }, NOW)
    if (want === null) expect(person).toBeUndefined()
    else for (const [member, value] of Object.entries(want)) expect(person?.[member as never] ?? null, member).toEqual(value)
  })

  it('asks for nothing that it does not read, and for a hash of the password only when told to', () => {
    const names = wantedAttributes(readLdapConfig(undefined, base))
    expect(names).toEqual(['entryUUID', 'uid', 'cn', 'mail', 'givenName', 'sn', 'pwdChangedTime', 'modifyTimestamp', 'pwdAccountLockedTime'])
    const more = readLdapConfig(undefined, { ...base, attributes: { passwordHash: 'userPassword' }, disabled: { attribute: 'employeeType' } })
    expect(wantedAttributes(more)).toEqual(expect.arrayContaining(['userPassword', 'employeeType']))
  })
})

describe('the configuration', () => {
  it.each([
    [{ url: 'ldap://ldap.example' }, /url: without TLS/],
    [{ url: 'ldaps://ldap.example', startTls: true }, /startTls/],
    [{ url: 'https://ldap.example' }, /url: must be/],
    [{ url: 'ldaps://user:secret@ldap.example' }, /url: must be/],
    [{ url: 'ldaps://ldap.example/dc=x' }, /url: must be/],
    [{ filter: '(uid=*' }, /filter: must be/],
    [{ filter: '(uid=a)(uid=b)' }, /filter: must be/],
    [{ name: 'HQ' }, /name: must be/],
    [{ password: 'x' }, /password/],
    [{ attributes: { displayName: '*' } }, /displayName: must be/],
    [{ pageSize: 0 }, /pageSize/],
    [{ caFile: '/does/not/exist' }, /ENOENT/],
  ])('%j is refused', (more, text) => {
    const error = (() => {
      try {
        return readLdapConfig(undefined, { ...base, ...more })
      } catch (one) {
        return one as { code: string; message: string }
      }
    })()
    expect(error).toMatchObject({ code: 'invalid_ldap_config', message: expect.stringMatching(text) })
  })

  it.each(['ldap://localhost', 'ldap://127.0.0.1:1389', 'ldap://[::1]:389'])('%s may do without TLS', (url) => {
    expect(readLdapConfig(undefined, { ...base, url })).toMatchObject({ url, source: 'ldap:hq' })
  })
  it('another machine may only when it is said', () => {
    expect(readLdapConfig(undefined, { ...base, url: 'ldap://ldap.example', allowPlain: true })).toMatchObject({ allowPlain: true })
    expect(readLdapConfig(undefined, { ...base, url: 'ldap://ldap.example', startTls: true })).toMatchObject({ startTls: true })
  })
})

describe('up to where changes were read', () => {
  const read = (before: Position | undefined, began: number, ended: number, newest: number) => afterStamps(before, { began, ended, newest })

  it('never passes a change that was made during the reading, or half a minute before it', () => {
    // The directory's clock is an hour behind ours: only differences count.
    expect(read(undefined, 10_000, 10_120, 6500)).toMatchObject({ caught: 6500 - 120 - 30, newest: 6500 })
  })
  it('comes to the last change once nothing newer has come for a while, and no further', () => {
    let position = read(undefined, 1000, 1001, 500)
    for (let now = 1001; now <= 1100; now += 10) position = read(position, now, now, 0)
    expect(position).toMatchObject({ caught: 501, newest: 500 })
    expect(changedSince('openldap', position)).toMatchObject({ attribute: 'modifyTimestamp', value: toGeneralizedTime(501) })
  })
  it('never goes back, whatever the clocks do', () => {
    const position = read(undefined, 1000, 1001, 500)
    expect(read(position, 10, 10, 0).caught).toBeGreaterThanOrEqual(position.caught)
    expect(read(position, 2000, 1000, 501).caught).toBeGreaterThanOrEqual(position.caught)
  })
  it('a directory that is empty is read from its beginning', () => {
    expect(read(undefined, 1000, 1001, 0)).toMatchObject({ caught: 0 })
    expect(toGeneralizedTime(0)).toBe('19700101000000Z')
  })
})
