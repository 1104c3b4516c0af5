import { Button, Paper, Table } from '@mantine/core'
import { type SigningKey, useKeys } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Section } from '../../parts/section.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

const TONES: Record<SigningKey['state'], Tone> = { active: 'good', next: 'info', retired: 'quiet' }

/** What the tenant signs with: a successor before its time, and the end of a key that got into wrong hands. */
export function SigningKeys() {
  const keys = useKeys()
  const confirm = useConfirm()
  const write = useWrite()
  const rotate = () =>
    confirm({
      ...{ title: t('settings.keys.rotateTitle'), text: t('settings.keys.rotateText'), action: t('settings.keys.rotate'), danger: false },
      run: () => write('POST', '/caegis/keys/rotate', { done: t('settings.keys.rotated'), changes: ['keys'] }),
    })
  const remove = ({ id, state }: SigningKey) =>
    confirm({
      ...{ title: t('settings.keys.removeTitle'), text: t('settings.keys.removeText'), action: t('settings.keys.remove'), typed: id },
      affects: [t(`settings.keys.removes.${state}`)],
      run: () => write('DELETE', `/caegis/keys/${encodeURIComponent(id)}`, { done: t('settings.keys.removed'), proof: true, changes: ['keys'] }),
    })
  return (
    <Section
      title={t('settings.keys.title')}
      text={t('settings.keys.text')}
      actions={
        <Button leftSection={<Icon name="refresh" />} onClick={rotate}>
          {t('settings.keys.rotate')}
        </Button>
      }
    >
      <Answered query={keys}>
        {({ value }) => (
          <Paper withBorder radius="md" style={{ overflow: 'hidden' }}>
            <Table.ScrollContainer minWidth={720} type="native" tabIndex={0} role="region" aria-label={t('settings.keys.title')}>
              <Table verticalSpacing="xs" horizontalSpacing="md" aria-label={t('settings.keys.title')}>
                <Table.Thead>
                  <Table.Tr>
                    {(['id', 'alg', 'state', 'from', 'until'] as const).map((name) => (
                      <Table.Th key={name}>{t(`settings.keys.${name}`)}</Table.Th>
                    ))}
                    <Table.Th ta="right">{t('settings.keys.actions')}</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {value.map((key) => (
                    <Table.Tr key={key.id}>
                      <Table.Td miw={210}>
                        <CopyId value={key.id} label={t('settings.keys.id')} />
                      </Table.Td>
                      <Table.Td>{key.alg}</Table.Td>
                      <Table.Td>
                        <Status tone={TONES[key.state]}>{t(`settings.keys.states.${key.state}`)}</Status>
                      </Table.Td>
                      <Table.Td>
                        <When at={key.activeFromDateTime} />
                      </Table.Td>
                      <Table.Td>{key.retiredDateTime ? <When at={key.retiredDateTime} /> : '–'}</Table.Td>
                      <Table.Td ta="right">
                        <Button
                          size="compact-sm"
                          variant="light"
                          color="red"
                          aria-label={t('settings.keys.removeOne', { id: key.id })}
                          onClick={() => remove(key)}
                        >
                          {t('settings.keys.remove')}
                        </Button>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          </Paper>
        )}
      </Answered>
    </Section>
  )
}
