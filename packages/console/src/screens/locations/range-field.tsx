import { Alert, Code, Group, Input, List, Loader, Stack, Text } from '@mantine/core'
import { Icon } from '../../parts/icon.tsx'
import { formatNumber, t, tn } from '../../texts/texts.ts'
import classes from './locations.module.css'
import type { RangesRead } from './ranges.ts'

interface RangeFieldProps {
  initial: string
  read: RangesRead | undefined
  busy: boolean
  tell(text: () => string): void
  error: string | undefined
}

/** Characters from which on what is pasted is put in by ourselves. */
const LONG = 10_000

/** A plain field, which the browser keeps: a hundred thousand lines are nothing that a page should draw at every key. */
export function RangeField({ initial, read, busy, tell, error }: RangeFieldProps) {
  return (
    <Stack gap="xs">
      <Input.Wrapper label={t('locations.ranges.label')} description={t('locations.ranges.hint')} error={error} withAsterisk id="ranges">
        <textarea
          id="ranges"
          className={classes.ranges}
          rows={12}
          defaultValue={initial}
          onInput={({ currentTarget: field }) => tell(() => field.value)}
          onPaste={(event) => {
            const text = event.clipboardData.getData('text/plain')
            if (text.length < LONG) return
            // Browsers put in line by line what is pasted, which takes them minutes for a hundred thousand; at once, it takes a moment.
            event.preventDefault()
            const { currentTarget: field } = event
            field.setRangeText(text, field.selectionStart, field.selectionEnd, 'end')
            tell(() => field.value)
          }}
          spellCheck={false}
          autoCapitalize="none"
          autoComplete="off"
          aria-describedby="ranges-read"
          aria-invalid={error !== undefined}
          placeholder={'192.0.2.0/24\n2001:db8::/32'}
        />
      </Input.Wrapper>
      <Group id="ranges-read" role="status" gap="sm" mih={22}>
        {busy && <Loader size={14} role="status" aria-label={t('locations.ranges.reading')} />}
        {read && <Summary read={read} />}
      </Group>
      {read && read.mistaken > 0 && <Mistakes read={read} />}
      {read && read.wide.length > 0 && (
        <Alert color="orange" variant="light" icon={<Icon name="warning" />} title={t('locations.ranges.wide.title')}>
          <Text size="sm">{t('locations.ranges.wide.text', { ranges: read.wide.slice(0, 5).join(', ') })}</Text>
        </Alert>
      )}
    </Stack>
  )
}

function Summary({ read: { ranges, four, six, duplicates, joined } }: { read: RangesRead }) {
  if (ranges.length === 0) return null
  return (
    <>
      <Text size="sm" fw={600}>
        {tn('locations.ranges.count', ranges.length)}
      </Text>
      <Text size="sm" c="dimmed">
        {t('locations.ranges.families', { four: formatNumber(four), six: formatNumber(six) })}
        {duplicates > 0 && ` · ${tn('locations.ranges.duplicates', duplicates)}`}
        {joined < ranges.length && ` · ${tn('locations.ranges.joined', joined)}`}
      </Text>
    </>
  )
}

function Mistakes({ read: { mistakes, mistaken } }: { read: RangesRead }) {
  return (
    <Alert color="red" variant="light" icon={<Icon name="warning" />} title={tn('locations.ranges.mistakes', mistaken)}>
      <List size="sm" mah={180} style={{ overflowY: 'auto' }} tabIndex={0} aria-label={tn('locations.ranges.mistakes', mistaken)}>
        {mistakes.map(({ line, text }) => (
          <List.Item key={`${line} ${text}`}>
            {t('locations.ranges.line', { line: formatNumber(line) })}: <Code>{text}</Code>
          </List.Item>
        ))}
      </List>
      {mistaken > mistakes.length && <Text size="sm">{tn('locations.ranges.moreMistakes', mistaken - mistakes.length)}</Text>}
    </Alert>
  )
}
