import { Box, Button } from '@mantine/core'
import { type SigningKey, useKeys } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Grid } from '../../parts/grid.tsx'
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
          <Grid
            label={t('settings.keys.title')}
            rows={value}
            rowKey={({ id }) => id}
            minWidth={720}
            columns={[
              {
                header: t('settings.keys.id'),
                cell: ({ id }) => (
                  <Box miw={190}>
                    <CopyId value={id} label={t('settings.keys.id')} />
                  </Box>
                ),
              },
              { header: t('settings.keys.alg'), cell: ({ alg }) => alg },
              { header: t('settings.keys.state'), cell: ({ state }) => <Status tone={TONES[state]}>{t(`settings.keys.states.${state}`)}</Status> },
              { header: t('settings.keys.from'), cell: (key) => <When at={key.activeFromDateTime} /> },
              { header: t('settings.keys.until'), cell: (key) => (key.retiredDateTime ? <When at={key.retiredDateTime} /> : '–') },
              {
                header: t('settings.keys.actions'),
                right: true,
                cell: (key) => (
                  <Button
                    size="compact-sm"
                    variant="light"
                    color="red"
                    aria-label={t('settings.keys.removeOne', { id: key.id })}
                    onClick={() => remove(key)}
                  >
                    {t('settings.keys.remove')}
                  </Button>
                ),
              },
            ]}
          />
        )}
      </Answered>
    </Section>
  )
}
