import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { placesOf } from '../src/completion.ts'
import { EXIT } from '../src/exit-codes.ts'
import { createProgram } from '../src/program.ts'

const read = (name: string) => readFileSync(new URL(`../../../docs/${name}.md`, import.meta.url), 'utf8')
const text = read('cli')
const program = createProgram()
const places = placesOf(program)

describe('docs/cli.md', () => {
  it('tells of every command, and of none that is not there', () => {
    const rows = text.split('\n').filter((line) => line.startsWith('| `caegis '))
    const told = rows.flatMap((row) => [...(row.split(' | ')[0] as string).matchAll(/`(?:caegis )?([a-z- ]+)`/g)].map(([, name]) => ` ${name}`))
    const canonical = places.filter(({ commands }) => commands.length === 0).map(({ path }) => path)
    // By another name of theirs they would be told twice.
    const aliases = new Set(program.commands.flatMap((one) => one.commands.flatMap((sub) => sub.aliases().map((alias) => ` ${one.name()} ${alias}`))))
    expect(told.sort()).toEqual(canonical.filter((path) => !aliases.has(path)).sort())
  })

  it('tells what every exit code means', () => {
    const table = text.slice(text.indexOf('| code | means |')).trim().split('\n').slice(2)
    expect(table).toEqual(Object.values(EXIT).map(({ code, means }) => `| ${code} | ${means} |`))
  })

  it.each(['cli', 'operate'])('gives examples that the program understands: %s', (name) => {
    const examples = [...read(name).matchAll(/(?:^ {4}(?:source <\()?|&& |`)caegis ([^#|)`&\n]+)/gm)].map(([, rest]) =>
      (rest as string).trim().split(/\s+/),
    )
    expect(examples.length).toBeGreaterThan(3)
    for (const words of examples) {
      let at = ''
      for (const word of words) {
        const next = places.find(({ path }) => path === `${at} ${word}`)
        if (!next) break
        at = next.path
      }
      const known = places.find(({ path }) => path === at)?.options.flatMap(({ names }) => names)
      expect(at, words.join(' ')).not.toBe('')
      for (const flag of words.filter((one) => one.startsWith('-'))) expect(known, words.join(' ')).toContain(flag)
    }
  })
})

describe('the command', () => {
  it('has --json wherever it prints data', () => {
    const silent = [' serve', ' completion']
    const without = places.filter(
      ({ path, commands, options }) => commands.length === 0 && !silent.includes(path) && !options.some(({ names }) => names.includes('--json')),
    )
    expect(without.map(({ path }) => path)).toEqual([])
  })

  it('helps with every command', () => {
    const walk = (command: Command, path: string): void => {
      expect(command.helpInformation()).toContain(`Usage: ${path}`)
      for (const one of command.commands) walk(one, `${path} ${one.name()}`)
    }
    walk(program, 'caegis')
  })

  it('has a description for every command and every option', () => {
    for (const { path, commands, options } of places) for (const { about } of [...commands, ...options]) expect(about, path).toMatch(/^\S.{3,}/)
  })
})
