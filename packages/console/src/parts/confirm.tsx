import { Button, Group, List, Stack, Text, TextInput } from '@mantine/core'
import { createContext, type ReactNode, useCallback, useContext, useState } from 'react'
import { t } from '../texts/texts.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import { submitting } from './work.ts'

export interface Question {
  title: string
  /** What it will do. */
  text: string
  /** To whom and to how many, one line each; a promise where that has to be counted first. */
  affects?: string[] | Promise<string[]>
  /** On the button: the verb. */
  action: string
  /** Cannot be taken back, or hits many. */
  danger?: boolean
  /** Has to be typed before the button works. */
  typed?: string
  /** Does it; what it throws is shown here, and may be tried again. */
  run(): Promise<unknown>
}

const ConfirmContext = createContext<((question: Question) => void) | undefined>(undefined)

/** Asks before something ends: what it will do, to how many, and only then does it. The focus goes back to where it was. */
export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [question, setQuestion] = useState<Question>()
  const [opened, setOpened] = useState(false)
  /** It is being done: that is not to be cancelled any more, and its end must not close another question. */
  const [busy, setBusy] = useState(false)
  const ask = useCallback((next: Question) => {
    setQuestion(next)
    setOpened(true)
  }, [])
  return (
    <ConfirmContext value={ask}>
      {children}
      <Dialog opened={opened} onClose={() => !busy && setOpened(false)} title={question?.title}>
        {question && <Body key={question.title + question.text} question={question} close={() => setOpened(false)} busy={busy} onBusy={setBusy} />}
      </Dialog>
    </ConfirmContext>
  )
}

function Body({ question, close, busy, onBusy }: { question: Question; close(): void; busy: boolean; onBusy(busy: boolean): void }) {
  const { text, affects, action, danger = true, typed, run } = question
  const [lines, setLines] = useState<string[] | undefined>(Array.isArray(affects) ? affects : undefined)
  const [word, setWord] = useState('')
  const [error, setError] = useState<unknown>()
  if (affects instanceof Promise && lines === undefined) void affects.then(setLines, setError)
  const go = async () => {
    onBusy(true)
    setError(undefined)
    try {
      await run()
      close()
    } catch (reason) {
      setError(reason)
    } finally {
      onBusy(false)
    }
  }
  return (
    <form onSubmit={submitting(go)}>
      <Stack gap="sm">
        <Text>{text}</Text>
        {lines && lines.length > 0 && (
          <List size="sm">
            {lines.map((line) => (
              <List.Item key={line}>{line}</List.Item>
            ))}
          </List>
        )}
        {typed !== undefined && (
          <TextInput
            label={t('parts.type', { word: typed })}
            value={word}
            onChange={(event) => setWord(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
            data-autofocus
          />
        )}
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close} disabled={busy} {...(typed === undefined ? { 'data-autofocus': true } : {})}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" color={danger ? 'red' : 'blue'} loading={busy} disabled={typed !== undefined && word.trim() !== typed}>
            {action}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

export function useConfirm(): (question: Question) => void {
  const confirm = useContext(ConfirmContext)
  if (!confirm) throw new TypeError('useConfirm stands outside of a ConfirmProvider')
  return confirm
}
