import { ActionIcon, Button, Menu } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useApi } from '../../api/context.ts'
import type { Stream } from '../../api/streams.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useDelete } from '../../parts/delete.ts'
import { Icon } from '../../parts/icon.tsx'
import { useNotify } from '../../parts/notices.tsx'
import { t, tn } from '../../texts/texts.ts'
import { nameOf } from './health.ts'

/** What an administrator may do to a stream. What stops it is asked about first. */
export function Actions({ stream, verify }: { stream: Stream; verify(): Promise<void> }) {
  const api = useApi()
  const queries = useQueryClient()
  const confirm = useConfirm()
  const notify = useNotify()
  const leave = useDelete()
  const { id, status, guard, lag, deadLetters } = stream
  const name = nameOf(stream)
  const path = `/caegis/streams/${id}`

  const turn = async (action: 'pause' | 'enable' | 'disable') => {
    await api.send('POST', `${path}/${action}`)
    await queries.invalidateQueries({ queryKey: ['streams'] })
    notify({ text: t(`streams.done.${action}`, { name }) })
  }
  const affects = [
    ...(guard ? [t('streams.affects.guard')] : []),
    ...(lag.rows > 0 ? [tn('streams.affects.rows', lag.rows)] : []),
    ...(deadLetters > 0 ? [tn('streams.affects.letters', deadLetters)] : []),
  ]
  const stop = (action: 'pause' | 'disable') =>
    confirm({
      ...{ title: t(`streams.ask.${action}.title`, { name }), text: t(`streams.ask.${action}.text`), action: t(`streams.action.${action}`) },
      ...{ affects: guard ? [t('streams.affects.guard')] : [], danger: action === 'disable', run: () => turn(action) },
    })
  const remove = () =>
    confirm({
      ...{
        title: t('streams.ask.delete.title', { name }),
        text: t('streams.ask.delete.text'),
        affects,
        action: t('streams.action.delete'),
        typed: name,
      },
      run: () => leave({ path, id, kind: 'streams', done: t('streams.done.delete', { name }), to: '/streams' }),
    })

  return (
    <>
      {status === 'enabled' ? (
        <>
          <Button variant="default" leftSection={<Icon name="pause" size={16} />} onClick={() => stop('pause')}>
            {t('streams.action.pause')}
          </Button>
          <Button leftSection={<Icon name="check" size={16} />} onClick={() => void verify()}>
            {t('streams.action.verify')}
          </Button>
        </>
      ) : (
        <Button
          leftSection={<Icon name="play" size={16} />}
          onClick={() => void turn('enable').catch((error: Error) => notify({ text: error.message, tone: 'bad' }))}
        >
          {t('streams.action.enable')}
        </Button>
      )}
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label={t('streams.action.more')}>
            <Icon name="settings" />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {status !== 'disabled' && (
            <Menu.Item leftSection={<Icon name="stop" size={16} />} onClick={() => stop('disable')}>
              {t('streams.action.disable')}
            </Menu.Item>
          )}
          <Menu.Item color="red" leftSection={<Icon name="trash" size={16} />} onClick={remove}>
            {t('streams.action.delete')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  )
}
