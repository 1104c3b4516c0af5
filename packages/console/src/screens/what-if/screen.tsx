import { Paper } from '@mantine/core'
import { useFilters } from '../../parts/filters.ts'
import { Page } from '../../parts/page.tsx'
import { t } from '../../texts/texts.ts'
import { FIELDS, QUESTION, type Question } from './question.ts'
import { WhatIf } from './what-if.tsx'

/** What the policies would say to a sign-in that has not happened; the question stands in the address. */
export function WhatIfScreen() {
  const [filters, setFilters] = useFilters(FIELDS)
  const question = Object.fromEntries(FIELDS.map((name) => [name, filters[name] || QUESTION[name]])) as Question
  return (
    <Page title={t('whatIf.title')}>
      <Paper withBorder p="md">
        <WhatIf question={question} setQuestion={setFilters} wide />
      </Paper>
    </Page>
  )
}
