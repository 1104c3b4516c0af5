import { createHash } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type AddressList, openAddressList } from '../src/risk/address-list.ts'
import { openLeakedList } from '../src/risk/leaked-list.ts'

const folder = mkdtempSync(join(tmpdir(), 'caegis-risk-lists-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
function fileOf(text: string): string {
  const file = join(folder, `list-${files++}`)
  writeFileSync(file, text)
  return file
}

const digestOf = (password: string) => createHash('sha1').update(password).digest('hex').toUpperCase()
const passwords = Array.from({ length: 5000 }, (_, at) => `password-${at}`)
const digests = passwords.map(digestOf).sort()
/** Of the first and the last line. */
const ends = [digests[0], digests.at(-1)].map((digest) => passwords.find((one) => digestOf(one) === digest) as string)

describe('the list of leaked passwords', () => {
  it.each([
    ['as it is published', digests.map((one, at) => `${one}:${(at * 7919) % 10_000_019}`).join('\r\n')],
    ['with a line feed at each end', digests.map((one) => `${one}:1\n`).join('')],
    ['without counts, in small letters', `${digests.join('\n').toLowerCase()}\n`],
  ])('is searched on the disk, %s', async (_, text) => {
    const list = await openLeakedList(fileOf(text))
    for (const password of [...ends, ...passwords.slice(0, 500)]) expect(await list.has(password), password).toBe(true)
    for (let at = 0; at < 500; at++) expect(await list.has(`other-${at}`)).toBe(false)
    await list.close()
    expect(await list.has('password-1')).toBe('unknown')
  })

  it.each([1, 2, 3, 5])('may have %i lines', async (count) => {
    const some = passwords.slice(0, count)
    const list = await openLeakedList(
      fileOf(
        some
          .map((one) => `${digestOf(one)}:3\r\n`)
          .sort()
          .join(''),
      ),
    )
    for (const password of some) expect(await list.has(password)).toBe(true)
    for (let at = 0; at < 200; at++) expect(await list.has(`other-${at}`)).toBe(false)
    await list.close()
  })

  it.each([
    ['that is empty', ''],
    ['of passwords', 'secret\nhunter2\n'],
    ['of NTLM digests', digests.map((one) => `${one.slice(8)}:1\n`).join('')],
    ['that is sorted by count', passwords.map((one) => `${digestOf(one)}:1\n`).join('')],
    ['without ends of lines', digests.join('')],
  ])('is refused as a file %s', async (_, text) => {
    await expect(openLeakedList(fileOf(text))).rejects.toMatchObject({ code: 'invalid_settings' })
  })

  it('is refused when there is none', async () => {
    await expect(openLeakedList(join(folder, 'none'))).rejects.toMatchObject({ code: 'invalid_settings' })
  })

  it('is unknown where it is damaged', async () => {
    // Every look-up passes the middle.
    const lines = digests.map((one) => `${one}:1\n`).join('')
    const list = await openLeakedList(fileOf(lines))
    const broken = fileOf(lines)
    const opened = await openLeakedList(broken)
    const half = Math.floor(lines.length / 2)
    writeFileSync(broken, `${lines.slice(0, half - 200)}${'#'.repeat(400)}${lines.slice(half + 200)}`)
    expect([await list.has('password-7'), await opened.has('password-7')]).toEqual([true, 'unknown'])
    await Promise.all([list.close(), opened.close()])
  })
})

describe('the list of risky addresses', () => {
  let clock = 1_800_000_000_000
  const lines: string[] = []
  const say = (message: string) => lines.push(message)
  const open = (file: string): AddressList => openAddressList(file, { log: { debug: say, info: say, warn: say, error: say }, now: () => clock })

  it('has addresses and ranges of both families, and words for people', () => {
    const list = open(fileOf('# from us\n192.0.2.7\n198.51.100.0/24 ; SBL1\r\n\n  2001:db8:1::/48\t# six\n'))
    const asked = ['192.0.2.7', '192.0.2.8', '198.51.100.99', '::ffff:198.51.100.1', '2001:db8:1:ffff::1', '2001:db8:2::1', '', 'nowhere']
    expect(asked.map((one) => list.has(one))).toEqual([true, false, true, true, true, false, 'unknown', 'unknown'])
  })

  it('is read again when it was replaced, and the last good one stays in force', () => {
    const file = fileOf('192.0.2.7\n')
    const list = open(file)
    const replaceBy = (text: string) => {
      renameSync(fileOf(text), file)
      clock += 10_000
    }
    const now = () => [list.has('192.0.2.7'), list.has('192.0.2.8')]
    lines.length = 0
    clock += 10_000
    expect(now()).toEqual([true, false])
    replaceBy('192.0.2.8\n')
    expect(now()).toEqual([false, true])
    replaceBy('192.0.2.7\nnot an address\n')
    expect(now()).toEqual([false, true])
    rmSync(file)
    clock += 10_000
    expect(now()).toEqual([false, true])
    replaceBy('192.0.2.7\n')
    expect(now()).toEqual([true, false])
    clock += 10_000
    expect(now()).toEqual([true, false])
    // One that was not changed is not read again.
    expect(lines).toHaveLength(4)
    expect(lines.filter((one) => one.includes('former one stays'))).toHaveLength(2)
  })

  it('is not looked at for each sign-in', () => {
    const file = fileOf('192.0.2.7\n')
    const list = open(file)
    renameSync(fileOf('192.0.2.8\n'), file)
    expect(list.has('192.0.2.7')).toBe(true)
    clock += 5000
    expect(list.has('192.0.2.7')).toBe(false)
  })

  it.each(['nowhere\n', '192.0.2.0/33\n', '192.0.2.1 192.0.2.2\n'])('is refused with a line %j', (text) => {
    expect(() => open(fileOf(text))).toThrow(expect.objectContaining({ code: 'invalid_settings' }))
  })

  it('is refused when there is none', () => {
    expect(() => open(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'invalid_settings' }))
  })
})
