import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDirectory, type Directory } from '../src/directory/directory.ts'
import { GraphError } from '../src/graph/errors.ts'
import { parseFilter } from '../src/graph/filter.ts'
import { listOf, openToken, parseQuery, sealToken } from '../src/graph/query.ts'
import { parseOrder, parseSearch } from '../src/graph/resource.ts'
import { USERS } from '../src/graph/users.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const ADMIN = { kind: 'system', reason: 'test' } as const
const NAMES = ['Ann', 'anna', 'ANNE', 'Bo', 'Bo Ann', "O'Hara", '100%', 'a_b', 'a\\b', 'Zoë', 'ZOË']
const MAILS = [null, null, 'x@mail.test', 'X@mail.test', '%@mail.test']

interface Person {
  id: string
  displayName: string
  mail: string | null
  accountEnabled: boolean
  createdDateTime: number
}

let store: Store
let directory: Directory
const people: Person[] = []

beforeAll(async () => {
  let now = 1_767_225_600_000
  store = await openStore({ file: ':memory:', now: () => now, log: { debug() {}, info() {}, warn() {}, error() {} } })
  for (const id of ['one', 'two'])
    await store.db.insertInto('tenants').values({ id, name: id, display_name: id, epoch: 'e', created_at: 1 }).execute()
  directory = createDirectory(store, 'one', 'https://id.test/one/v2.0')
  const other = createDirectory(store, 'two', 'https://id.test/two/v2.0')
  for (let index = 0; index < 40; index++) {
    if (index % 3 === 0) now += 60_000
    const [displayName, mail] = [NAMES[index % NAMES.length] as string, MAILS[index % MAILS.length] as string | null]
    const given = { userPrincipalName: `u${index}@one.test`, displayName, mail, enabled: index % 4 !== 0 }
    const { result: id } = await directory.createUser(ADMIN, given)
    people.push({ id, displayName, mail, accountEnabled: given.enabled, createdDateTime: now / 1000 })
    await other.createUser(ADMIN, given)
  }
  // Whoever is deleted is in no list.
  await directory.remove(ADMIN, (people.pop() as Person).id)
})
afterAll(() => store.close())

const idsOf = (found: { id: string }[]) => found.map(({ id }) => id)
const refusal = (work: () => unknown): string => {
  try {
    work()
    return 'read'
  } catch (error) {
    return error instanceof GraphError && error.status === 400 ? 'refused' : String(error)
  }
}
/** The database folds these letters and no others. */
const fold = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

type Test = { text: string; holds(person: Person): boolean }
const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`
const value = fc.constantFrom(...NAMES, 'a', 'AN', '', 'x@mail.test', "' or 1 eq 1 or ''='", '%')
const texts = fc.constantFrom('displayName' as const, 'mail' as const)
const leaf: fc.Arbitrary<Test> = fc.oneof(
  fc.record({ name: texts, value, is: fc.constantFrom('eq', 'ne') }).map(({ name, value, is }) => ({
    text: `${name} ${is} ${quoted(value)}`,
    holds: (person: Person) => (person[name] !== null && fold(person[name]) === fold(value)) === (is === 'eq'),
  })),
  fc.record({ name: texts, value, is: fc.constantFrom('startswith', 'startsWith', 'endsWith') }).map(({ name, value, is }) => ({
    text: `${is}(${name}, ${quoted(value)})`,
    holds: (person: Person) => person[name] !== null && fold(person[name])[is === 'endsWith' ? 'endsWith' : 'startsWith'](fold(value)),
  })),
  fc.record({ name: texts, values: fc.array(value, { minLength: 1, maxLength: 3 }) }).map(({ name, values }) => ({
    text: `${name} in (${values.map(quoted).join(', ')})`,
    holds: (person: Person) => values.some((one) => person[name] !== null && fold(person[name]) === fold(one)),
  })),
  fc.constantFrom('eq', 'ne').map((is) => ({ text: `mail ${is} null`, holds: ({ mail }: Person) => (mail === null) === (is === 'eq') })),
  fc.record({ is: fc.constantFrom('eq', 'ne'), value: fc.boolean() }).map(({ is, value }) => ({
    text: `accountEnabled ${is} ${value}`,
    holds: ({ accountEnabled }: Person) => (accountEnabled === value) === (is === 'eq'),
  })),
  fc
    .record({ is: fc.constantFrom('eq', 'ne', 'ge', 'gt', 'le', 'lt'), minute: fc.integer({ min: 0, max: 15 }), part: fc.constantFrom(0, 0.5) })
    .map(({ is, minute, part }) => {
      const at = 1_767_225_600 + minute * 60 + part
      const than = { eq: (a: number) => a === at, ne: (a: number) => a !== at, ge: (a: number) => a >= at, gt: (a: number) => a > at }
      const holds = { ...than, le: (a: number) => a <= at, lt: (a: number) => a < at }[is as 'eq']
      return { text: `createdDateTime ${is} ${new Date(at * 1000).toISOString()}`, holds: (person: Person) => holds(person.createdDateTime) }
    }),
)
/** What a search box asks: these are answered by the index of each. */
const beginnings: fc.Arbitrary<Test> = fc.array(fc.record({ name: texts, value }), { minLength: 2, maxLength: 3 }).map((all) => ({
  text: all.map(({ name, value }) => `startsWith(${name}, ${quoted(value)})`).join(' or '),
  holds: (person) => all.some(({ name, value }) => person[name] !== null && fold(person[name]).startsWith(fold(value))),
}))
const { test } = fc.letrec<{ test: Test }>((tie) => ({
  test: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    leaf,
    beginnings.map(({ text, holds }): Test => ({ text: `(${text})`, holds })),
    tie('test').map((one): Test => ({ text: `not (${one.text})`, holds: (person: Person) => !one.holds(person) })),
    tie('test').map((one): Test => ({ text: `( ${one.text} )`, holds: one.holds })),
    // Without parentheses of its own an `or` would be read otherwise beside an `and`.
    fc.tuple(tie('test'), tie('test')).map(([a, b]): Test => ({ text: `(${a.text}) and (${b.text})`, holds: (one) => a.holds(one) && b.holds(one) })),
    fc.tuple(leaf, leaf, leaf).map(
      ([a, b, c]): Test => ({
        text: `${a.text} or ${b.text} and ${c.text}`,
        holds: (one) => a.holds(one) || (b.holds(one) && c.holds(one)),
      }),
    ),
  ),
}))

describe('$filter', () => {
  it('finds what the same words mean in plain code, whatever is asked', async () => {
    await fc.assert(
      fc.asyncProperty(test, async ({ text, holds }) => {
        const where = parseFilter(USERS, text, true)
        const { value } = await directory.users.page({ where, limit: 100 })
        const wanted = idsOf(people.filter(holds)).sort()
        expect(idsOf(value), text).toEqual(wanted)
        expect(await directory.users.count(where)).toBe(wanted.length)
      }),
      { numRuns: 400 },
    )
  })

  it('is refused when it is not one, and never read as something else', () => {
    for (const text of [
      ...[
        '',
        ' ',
        'true',
        'displayName',
        'displayName eq',
        "displayName eq 'x' and",
        "and displayName eq 'x'",
        "displayName eq 'x' displayName eq 'y'",
      ],
      ...[
        "(displayName eq 'x'",
        "displayName eq 'x')",
        '()',
        "displayName eq 'o'neil'",
        "displayName eq 'x",
        'displayName eq "x"',
        'displayName eq 1',
      ],
      ...["displayName gt 'x'", "displayName EQ 'x'", "displayname eq 'x'", 'displayName eq null', 'displayName in ()', "displayName in ('a',)"],
      ...[
        "displayName in ('a'",
        'mail in (null)',
        'accountEnabled in (true)',
        "accountEnabled eq 'true'",
        'accountEnabled gt true',
        'accountEnabled eq True',
      ],
      ...[
        "createdDateTime ge '2026-01-01T00:00:00Z'",
        'createdDateTime ge 2026-01-01',
        'createdDateTime ge 2026-13-45T00:00:00Z',
        'createdDateTime eq null',
      ],
      ...[
        "contains(displayName,'a')",
        'startswith(displayName)',
        "startswith('a',displayName)",
        "startswith(id,'a')",
        'startswith(mail,null)',
        "startswith(accountEnabled,'t')",
      ],
      ...[
        "password eq 'x'",
        "passwordProfile/password eq 'x'",
        "__proto__ eq 'x'",
        "constructor eq 'x'",
        "toString(displayName,'x')",
        "not displayName eq 'x'",
        'not',
      ],
      ...[
        "roles eq 'admin'",
        'signInSessionsValidFromDateTime ge 2026-01-01T00:00:00Z',
        "displayName eq 'x';drop table users",
        "displayName eq 'x' -- ",
        'displayName eq @x',
      ],
      `displayName eq '${'x'.repeat(513)}'`,
      `${'('.repeat(30)}displayName eq 'x'${')'.repeat(30)}`,
      `${'not ('.repeat(30)}displayName eq 'x'${')'.repeat(30)}`,
      Array.from({ length: 65 }, () => "id eq 'x'").join(' or '),
      `id in (${Array.from({ length: 65 }, () => "'x'").join(',')})`,
      `displayName eq '${'x'.repeat(5000)}'`,
    ])
      expect(`${text.slice(0, 60)}: ${refusal(() => parseFilter(USERS, text, true))}`).toBe(`${text.slice(0, 60)}: refused`)
    expect(refusal(() => parseFilter(USERS, "endsWith(mail,'x')", false))).toBe('refused')
    expect(refusal(() => parseFilter(USERS, Array.from({ length: 64 }, () => "id eq 'x'").join(' or '), false))).toBe('read')
  })

  it('of any text at all is read or refused, and nothing else', () => {
    const part = fc.constantFrom(
      'displayName',
      'mail',
      ' eq ',
      ' ne ',
      "'x'",
      "''",
      '(',
      ')',
      ',',
      ' in ',
      ' and ',
      ' or ',
      ' not ',
      'null',
      'startswith',
      ' ',
      "'",
      'true',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
        ),
        (text) => {
          expect(['read', 'refused']).toContain(refusal(() => parseFilter(USERS, text, true)))
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('$search', () => {
  it('finds the beginnings of words, joined from left to right', async () => {
    const search = async (text: string) =>
      (await directory.users.page({ where: parseSearch(USERS, text), limit: 100 })).value.map(({ displayName }) => displayName)
    expect(new Set(await search('"displayName:ann"'))).toEqual(new Set(['Ann', 'anna', 'ANNE', 'Bo Ann']))
    expect(new Set(await search('"displayName:ann" AND "displayName:bo"'))).toEqual(new Set(['Bo Ann']))
    expect(new Set(await search('"displayName:100%" OR "displayName:a_"'))).toEqual(new Set(['100%', 'a_b']))
    expect(new Set(await search('"displayName:a\\\\b"'))).toEqual(new Set(['a\\b']))
    expect(new Set(await search('"displayName:bo" OR "displayName:o\'" AND "mail:x@"')).has('Bo')).toBe(true)
    expect(await search('"displayName:nn"')).toEqual([])
    for (const text of [
      '',
      'ann',
      '"ann"',
      '"displayName"',
      '"displayName:"',
      '"accountEnabled:true"',
      '"displayName:a" "displayName:b"',
      '"displayName:a" and "displayName:b"',
      '"displayName:a" OR',
      '"displayName:a',
      '"password:x"',
      `"displayName:${'x'.repeat(2000)}"`,
    ])
      expect(`${text}: ${refusal(() => parseSearch(USERS, text))}`).toBe(`${text}: refused`)
  })
})

describe('pages', () => {
  const tag = (context: string, text: string) => `${context.length}-${text.length}`

  it('show everybody once, in whatever order and size, while others come and go', async () => {
    const orders = [
      '',
      'displayName',
      'displayName desc',
      'createdDateTime',
      'createdDateTime desc,displayName',
      'displayName asc, createdDateTime desc',
      'userPrincipalName desc',
    ]
    for (const text of orders) {
      const order = text === '' ? [] : parseOrder(USERS, text)
      const whole = idsOf((await directory.users.page({ order, limit: 100 })).value)
      expect(new Set(whole)).toEqual(new Set(idsOf(people)))
      const keyed = [...people].sort((a, b) => {
        for (const part of text.split(',').filter(Boolean)) {
          const [name = '', direction] = part.trim().split(' ')
          const read = (one: Person) =>
            name === 'createdDateTime' ? one.createdDateTime : name === 'displayName' ? Buffer.from(fold(one.displayName)).toString('hex') : ''
          const [x, y] = [read(a), read(b)]
          if (x !== y) return (x < y ? -1 : 1) * (direction === 'desc' ? -1 : 1)
        }
        return a.id < b.id ? -1 : 1
      })
      if (!text.startsWith('userPrincipalName')) expect(whole, text).toEqual(idsOf(keyed))
      for (const limit of [1, 3, 7, 39, 40]) {
        const seen: string[] = []
        const extra: string[] = []
        let after: readonly (string | number | null)[] | undefined
        do {
          const page = await directory.users.page({ order, limit, after })
          seen.push(...idsOf(page.value))
          after = page.next && (openToken(sealToken(page.next, 'x', tag), 'x', tag) as typeof after)
          if (extra.length < 3) {
            const name = NAMES[extra.length] as string
            extra.push((await directory.createUser(ADMIN, { userPrincipalName: `new${extra.length}@one.test`, displayName: name })).result)
          }
        } while (after)
        for (const id of extra) await directory.remove(ADMIN, id)
        expect(
          seen.filter((id) => !extra.includes(id)),
          `${text} by ${limit}`,
        ).toEqual(whole)
        expect(new Set(seen).size).toBe(seen.length)
      }
    }
  })

  it('are named by tokens that nobody else makes, each good for its own list', () => {
    const keyed = (context: string, text: string) => Buffer.from(`key ${context} ${text}`).toString('base64url')
    const query = (text: string) => new URLSearchParams(text)
    const list = listOf('/v1.0/users', query("$filter=id eq 'x'"))
    const token = sealToken(['a', 1], list, keyed)
    expect(openToken(token, list, keyed)).toEqual(['a', 1])
    const [body = '', mac = ''] = token.split('.')
    const forged = `${Buffer.from(JSON.stringify(['b', 1])).toString('base64url')}.${mac}`
    for (const wrong of ['', '.', 'x', body, `${body}.`, `.${mac}`, forged, `${token}x`, `${token.slice(0, -1)}`, 'x'.repeat(10_000)])
      expect(`${wrong.slice(0, 30)} ${refusal(() => openToken(wrong, list, keyed))}`).toBe(`${wrong.slice(0, 30)} refused`)
    for (const [path, text] of [
      ['/v1.0/groups', "$filter=id eq 'x'"],
      ['/v1.0/users', "$filter=id eq 'y'"],
      ['/v1.0/users', "$filter=id eq 'x'&$orderby=displayName"],
      ['/v1.0/users', "$search=id eq 'x'"],
      ['/v1.0/users', ''],
    ] as const)
      expect(refusal(() => openToken(token, listOf(path, query(text)), keyed))).toBe('refused')
    expect(refusal(() => parseQuery(USERS, query('$skiptoken=x'), '/v1.0/users', false, keyed))).toBe('refused')
    for (const text of [
      '$count=true',
      '$count=1',
      '$search="displayName:a"',
      '$orderby=mail',
      '$orderby=',
      '$orderby=displayName up',
      '$orderby=displayName,displayName',
      '$select=',
      '$top=0',
    ])
      expect(`${text} ${refusal(() => parseQuery(USERS, query(text), '/v1.0/users', false, keyed))}`).toBe(`${text} refused`)
  })
})
