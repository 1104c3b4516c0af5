import { describe, expect, it } from 'vitest'
import { compileFilter } from '../src/scim/filter.ts'
import { applyPatch, readPatch } from '../src/scim/patch.ts'
import { type Represented, select } from '../src/scim/resource.ts'
import { readUser, USER, userFilters } from '../src/scim/user.ts'
import { PATCHES, REFUSED } from './vectors/scim-patches.ts'

const URN = 'urn:ietf:params:scim:schemas:core:2.0:User'
const alice = {
  ...{ schemas: [URN], id: '1', userName: 'alice@contoso.test', displayName: 'Alice', active: true },
  ...{ name: { givenName: 'Alice', familyName: 'Low' }, emails: [{ value: 'alice@mail.test', type: 'work', primary: true }] },
  meta: { resourceType: 'User', location: 'https://x.test/1', created: '2026-01-01T00:00:00.000Z' },
} satisfies Represented
const { emails: _, ...unmailed } = alice
const body = (Operations: unknown) => ({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations })
const said = readUser(alice)

describe('PATCH', () => {
  it.each(PATCHES.map((one) => [one.from, JSON.stringify(one.Operations), one] as const))('%s: %s', (_from, _text, { Operations, want, without }) => {
    const before = without === 'mail' ? unmailed : alice
    const after = readUser(applyPatch(before, readPatch(USER, body(Operations))))
    expect(after).toEqual({ ...said, ...(without === 'mail' ? { mail: null } : {}), ...want })
  })

  it.each(REFUSED.map((one) => [JSON.stringify(one.Operations).slice(0, 100), one] as const))('refuses %s', (_text, { Operations, scimType }) => {
    expect(() => readUser(applyPatch(alice, readPatch(USER, body(Operations))))).toThrow(expect.objectContaining({ status: 400, scimType }))
  })

  it('bounds what is added, however it is spread: each value is compared with all that are there', () => {
    const emails = (many: number, from = 0) => ({
      op: 'add',
      path: 'emails',
      value: Array.from({ length: many }, (_, i) => ({ value: `${from + i}@mail.test` })),
    })
    const patch = (...Operations: object[]) => applyPatch(alice, readPatch(USER, body(Operations)))
    expect((patch(emails(500), emails(500, 500)) as { emails: unknown[] }).emails).toHaveLength(1001)
    expect(() => patch(emails(500), emails(501, 500))).toThrow(expect.objectContaining({ status: 400, scimType: 'invalidValue' }))
    // One attribute has many spellings, and one operation many members.
    const spellings = Array.from({ length: 1001 }, (_, bits) =>
      [...'displayname'].map((sign, at) => (bits & (1 << at) ? sign.toUpperCase() : sign)).join(''),
    )
    const value = Object.fromEntries(spellings.map((one) => [one, 'x']))
    expect(() => readPatch(USER, body([{ op: 'replace', value }]))).toThrow(expect.objectContaining({ status: 400, scimType: 'invalidValue' }))
  })

  it('refuses what is no PatchOp, and leaves every object as it was', () => {
    for (const one of [
      undefined,
      null,
      [],
      'x',
      {},
      { Operations: [] },
      { schemas: [URN], Operations: [{ op: 'replace', value: {} }] },
      body([]),
      body({}),
    ])
      expect(() => readPatch(USER, one)).toThrow(expect.objectContaining({ scimType: 'invalidSyntax' }))
    const hostile = ['__proto__.polluted', 'constructor.prototype.polluted', 'name.__proto__.polluted', 'emails[type eq "work"].__proto__']
    for (const path of hostile) {
      try {
        applyPatch(alice, readPatch(USER, body([{ op: 'add', path, value: { polluted: true } }])))
      } catch {}
    }
    const member = JSON.parse('{"__proto__": {"polluted": true}}')
    expect(() => readPatch(USER, body([{ op: 'add', value: member }]))).toThrow(expect.objectContaining({ scimType: 'invalidPath' }))
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    expect(Object.keys(alice)).not.toContain('polluted')
  })
})

describe('filter', () => {
  const compile = (text: string) => compileFilter(URN, userFilters('scim:hr'), text)
  it('says what rows must be like', () => {
    expect(compile('USERNAME Eq "a@b.c"')).toEqual({ is: 'eq', column: { name: 'upn_key', type: 'key' }, value: 'a@b.c' })
    expect(compile(`${URN}:userName sw "a" and not (active eq false)`)).toMatchObject({
      is: 'and',
      terms: [{ is: 'starts' }, { is: 'not', term: { is: 'eq', column: { name: 'enabled' }, value: 0 } }],
    })
    expect(compile('emails[type eq "work" and value co "x"]')).toEqual(compile('emails.type eq "work" and emails.value co "x"'))
    expect(compile('externalId eq "7"')).toMatchObject({ is: 'and', terms: [{ column: { name: 'source' }, value: 'scim:hr' }, { value: '7' }] })
    expect(compile('emails.type eq "home"')).toMatchObject({ is: 'eq', column: { name: 'id' }, value: null })
    expect(compile('displayName pr')).toMatchObject({ is: 'ne', value: null })
  })
  it.each([
    ...['userName', 'userName eq', 'userName eq "x', 'userName zz "x"', 'userName eq "x" or', '((((', '', 'x'.repeat(3000)],
    ...['nickName eq "x"', 'password eq "x"', 'password pr', 'meta.created gt "2026"', 'name eq "x"', 'userName.value eq "x"', 'constructor eq "x"'],
    ...[
      'active eq "true"',
      'active co true',
      'userName eq 1',
      'userName eq true',
      'userName sw null',
      'emails.type co "w"',
      'emails[password eq "x"]',
    ],
    `${'('.repeat(1000)}userName pr`,
  ])('refuses %s', (text) => {
    expect(() => compile(text)).toThrow(expect.objectContaining({ status: 400, scimType: 'invalidFilter' }))
  })
})

it('shows the attributes that are asked for, and always the id', () => {
  expect(select(alice, { only: ['username', 'name.givenname', 'emails.value'] })).toEqual({
    ...{ schemas: [URN], id: '1', userName: 'alice@contoso.test', name: { givenName: 'Alice' }, emails: [{ value: 'alice@mail.test' }] },
  })
  expect(select(alice, { without: ['id', 'name', 'meta', 'emails.type', 'emails.primary'] })).toEqual({
    ...{ schemas: [URN], id: '1', userName: 'alice@contoso.test', displayName: 'Alice', active: true, emails: [{ value: 'alice@mail.test' }] },
  })
})
