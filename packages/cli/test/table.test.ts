import { describe, expect, it } from 'vitest'
import { tableLines } from '../src/table.ts'
import { shorten, terminalOf, widthOf } from '../src/terminal.ts'

const ID = '0b9b9a2e-8a4b-4f0e-9c3a-2f1d8e7c6b5a'
const none = { colours: false }

describe('a table', () => {
  it('aligns its columns, by places and not by characters', () => {
    expect(
      tableLines(
        {
          headings: ['NAME', 'STATE'],
          rows: [
            ['東京', 'on'],
            ['e\u0301a', 'off'],
            ['plain', 'on'],
          ],
        },
        none,
      ),
    ).toEqual(['NAME   STATE', '東京   on', 'e\u0301a     off', 'plain  on'])
    expect(tableLines({ rows: [] }, none)).toEqual([])
  })

  it('fits the terminal: what is longest gives way, and ids last', () => {
    const rows = [[ID, 'x'.repeat(200), 'a reason that goes on and on and on']]
    const lines = tableLines({ headings: ['ID', 'NAME', 'REASON'], rows }, { ...none, width: 80 })
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(80)
    expect(lines[1]).toContain(ID)
    expect(lines[1]).toContain('…')
    for (const line of tableLines({ headings: ['ID', 'NAME', 'REASON'], rows }, { ...none, width: 40 })) expect(widthOf(line)).toBeLessThanOrEqual(40)
    // Where nothing is asked to fit, nothing is lost: a pipe gets every character.
    expect(tableLines({ headings: ['ID', 'NAME', 'REASON'], rows }, none)[1]).toContain('x'.repeat(200))
    expect(shorten('東京都', 4)).toBe('東…')
  })

  it('shows nothing of others that steers a terminal, with colours or without', () => {
    const rows = [['\u001b[2Jgone', { text: 'bad\u001b]0;title\u0007', colour: 'red' as const }]]
    expect(tableLines({ rows }, none)).toEqual(['?[2Jgone  bad?]0;title?'])
    expect(tableLines({ rows }, { colours: true })).toEqual(['?[2Jgone  \u001b[31mbad?]0;title?\u001b[39m'])
  })
})

describe('colours', () => {
  it.each([
    ['a terminal', true, {}, true],
    ['no terminal', false, {}, false],
    ['NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['NO_COLOR, empty', true, { NO_COLOR: '' }, true],
    ['FORCE_COLOR without a terminal', false, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR=0 on a terminal', true, { FORCE_COLOR: '0' }, false],
    ['both: nobody is given colours who refused them', false, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
    ['a terminal that is dumb', true, { TERM: 'dumb' }, false],
  ])('%s', (_, isTTY, env, colours) => {
    expect(terminalOf({ isTTY, columns: 80 }, env as NodeJS.ProcessEnv).colours).toBe(colours)
    expect(terminalOf({ isTTY, columns: 80 }, env as NodeJS.ProcessEnv).width).toBe(isTTY ? 80 : undefined)
  })
})
