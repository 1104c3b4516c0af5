import { Button, Group, Paper, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { useLocation } from 'wouter'
import type { Api, Page } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import type { SignIn } from '../../api/sign-ins.ts'
import { quote } from '../../parts/filters.ts'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { t } from '../../texts/texts.ts'

/** From the number on the page that stopped somebody to the decision, or to the change whose way it names. */
export function WhyBox({ found }: { found(correlation: string): void }) {
  const api = useApi()
  const [, navigate] = useLocation()
  const [number, setNumber] = useState('')
  const { busy, error, work } = useWork()
  const [unknown, setUnknown] = useState(false)
  const look = async () => {
    const wanted = number.trim()
    if (wanted === '') return
    setUnknown(false)
    await work(async () => {
      const place = await find(api, wanted)
      if (place === undefined) setUnknown(true)
      else if ('several' in place) found(place.several)
      else navigate(place.path)
    })
  }
  return (
    <Paper withBorder radius="md" p="md">
      <form onSubmit={submitting(look)}>
        <Group gap="sm" align="flex-end">
          <TextInput
            label={t('signIns.why.title')}
            description={t('signIns.why.text')}
            placeholder="00000000-0000-0000-0000-000000000000"
            value={number}
            onChange={(event) => {
              setNumber(event.currentTarget.value)
              setUnknown(false)
            }}
            error={unknown ? t('signIns.why.unknown') : undefined}
            autoComplete="off"
            spellCheck={false}
            style={{ flex: '1 1 280px' }}
          />
          <Button type="submit" loading={busy} leftSection={<Icon name="search" size={16} />}>
            {t('signIns.why.look')}
          </Button>
        </Group>
        {Boolean(error) && (
          <Text component="div" mt="sm">
            <Problem error={error} />
          </Text>
        )}
      </form>
    </Paper>
  )
}

async function find(api: Api, number: string): Promise<{ path: string } | { several: string } | undefined> {
  // Numbers are of the client's choice, within these bounds.
  if (!/^[\w-]{1,64}$/.test(number)) return undefined
  const { value } = await api.get<Page<SignIn>>(`/auditLogs/signIns?$top=2&$filter=${encodeURIComponent(`correlationId eq ${quote(number)}`)}`)
  const [first, second] = value
  if (second) return { several: number }
  if (first) return { path: `/sign-ins/${first.id}` }
  const published = await api.get<Page<unknown>>(`/caegis/events?$top=1&$filter=${encodeURIComponent(`txn eq ${quote(number)}`)}`)
  return published.value.length > 0 ? { path: `/revocations/${number}` } : undefined
}
