import { Button, Stack, Text } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useApi } from '../../api/context.ts'
import { Problem } from '../../parts/problem.tsx'
import { t } from '../../texts/texts.ts'
import { type Answer, isWhole, QUESTION, type Question, toEvaluation } from './question.ts'
import { QuestionFields } from './question-fields.tsx'
import { Result } from './result.tsx'

interface WhatIfProps {
  /** A policy that is not stored, taken in place of the one of its id or beside the others. */
  draft?: Record<string, unknown>
  /** Kept elsewhere: in the address. */
  question?: Question
  setQuestion?(part: Partial<Question>): void
  /** Beside the question where there is room. */
  wide?: boolean
}

/** Asks the policies about a sign-in that has not happened. With a draft, again whenever the draft has changed. */
export function WhatIf({ draft, question: given, setQuestion, wide = false }: WhatIfProps) {
  const api = useApi()
  const [own, setOwn] = useState<Question>(QUESTION)
  const question = given ?? own
  const change = setQuestion ?? ((part: Partial<Question>) => setOwn({ ...own, ...part }))
  const [asked, setAsked] = useState<Question | undefined>(given && isWhole(given) ? given : undefined)
  const [settled] = useDebouncedValue(draft && JSON.stringify(draft), 400)
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ['what-if', asked, settled],
    queryFn: async () =>
      (
        await api.send<Answer>(
          'POST',
          '/identity/conditionalAccess/evaluate',
          toEvaluation(asked as Question, settled ? JSON.parse(settled) : undefined),
        )
      ).body,
    enabled: asked !== undefined,
    placeholderData: (before) => before,
  })
  const ask = () => (JSON.stringify(asked) === JSON.stringify(question) ? void refetch() : setAsked(question))
  const answer = (
    <Stack gap="sm">
      {Boolean(error) && <Problem error={error} />}
      {data && !error && <Result answer={data} draft={draft} />}
      {!data && !error && (
        <Text size="sm" c="dimmed">
          {t('whatIf.nothingAsked')}
        </Text>
      )}
    </Stack>
  )
  return (
    <Stack gap="md">
      <QuestionFields question={question} change={change} wide={wide} />
      <Button onClick={ask} loading={isFetching} disabled={!isWhole(question)} style={{ alignSelf: 'flex-start' }}>
        {t('whatIf.ask')}
      </Button>
      {answer}
    </Stack>
  )
}
