# Completion of signalbox for bash. Made by make generate.

# Sets what may follow the command named by its words.
_signalbox_grammar() {
	commands= options= files= folders= others= argument=
	case $1 in
	'')
		commands='serve join cloud check status discover token room backup restore upgrade provision console trust bench version'
		options='--help'
		;;
	'serve')
		options='--config --data --http --https --turn --turn-tls --site --tls-cert --tls-key --log-level --log-format --ready-json --call-link'
		files='--config --tls-cert --tls-key'
		folders='--data'
		others='--http --https --turn --turn-tls --site --log-level --log-format'
		;;
	'join')
		options='--config --data --token --token-file --ca --ca-file --again --json'
		files='--config --token-file --ca-file'
		folders='--data'
		others='--token --ca'
		;;
	'cloud')
		commands='serve status site box person key backup verify check nats-config rotate-ca'
		;;
	'cloud serve')
		options='--config --data --http --https --trusted-proxies --url --names --nats --nats-callout --nats-user --nats-password-file --name --tls-cert --tls-key --log-level --log-format --ready-json'
		files='--config --nats-callout --nats-password-file --tls-cert --tls-key'
		folders='--data'
		others='--http --https --trusted-proxies --url --names --nats --nats-user --name --log-level --log-format'
		;;
	'cloud status')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud site')
		commands='add list join remove'
		;;
	'cloud site add')
		options='--config --data --title --json'
		files='--config'
		folders='--data'
		others='--title'
		;;
	'cloud site list')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud site join')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud site remove')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'cloud box')
		commands='list revoke'
		;;
	'cloud box list')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud box revoke')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'cloud person')
		commands='link list remove'
		;;
	'cloud person link')
		options='--config --data --role --json'
		files='--config'
		folders='--data'
		others='--role'
		;;
	'cloud person list')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud person remove')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'cloud key')
		commands='add list remove'
		;;
	'cloud key add')
		options='--config --data --role --ttl'
		files='--config'
		folders='--data'
		others='--role --ttl'
		;;
	'cloud key list')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud key remove')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'cloud backup')
		commands='list get'
		;;
	'cloud backup list')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud backup get')
		options='--config --data --id'
		files='--config'
		folders='--data'
		others='--id'
		argument=file
		;;
	'cloud verify')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'cloud check')
		options='--config --data --http --https --trusted-proxies --url --names --nats --nats-callout --nats-user --nats-password-file --name --tls-cert --tls-key --log-level --log-format --ready-json'
		files='--config --nats-callout --nats-password-file --tls-cert --tls-key'
		folders='--data'
		others='--http --https --trusted-proxies --url --names --nats --nats-user --name --log-level --log-format'
		;;
	'cloud nats-config')
		options='--account --user --seed-file'
		files='--seed-file'
		others='--account --user'
		;;
	'cloud rotate-ca')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'check')
		options='--config --data --http --https --turn --turn-tls --site --tls-cert --tls-key --log-level --log-format --print --sample --json'
		files='--config --tls-cert --tls-key'
		folders='--data'
		others='--http --https --turn --turn-tls --site --log-level --log-format'
		;;
	'status')
		options='--config --data --allocations --users --end --end-user --drain --no-drain --stop --json'
		files='--config'
		folders='--data'
		others='--end --end-user'
		;;
	'discover')
		options='--timeout --follow --interface --json --prometheus'
		others='--timeout --interface'
		;;
	'token')
		commands='device admin turn invite revoke'
		;;
	'token device')
		options='--config --data --subject --room --rights --ttl --json'
		files='--config'
		folders='--data'
		others='--subject --room --rights --ttl'
		;;
	'token admin')
		options='--config --data --subject --ttl --json'
		files='--config'
		folders='--data'
		others='--subject --ttl'
		;;
	'token turn')
		options='--config --data --subject --ttl --json --rotate --overlap'
		files='--config'
		folders='--data'
		others='--subject --ttl --overlap'
		;;
	'token invite')
		options='--config --data --admin --subject --room --rights --uses --ttl --token-ttl --note --json'
		files='--config'
		folders='--data'
		others='--subject --room --rights --uses --ttl --token-ttl --note'
		;;
	'token revoke')
		options='--config --data --subject --lift'
		files='--config'
		folders='--data'
		others='--subject'
		;;
	'room')
		commands='list show create update delete kick'
		;;
	'room list')
		options='--config --data --match --json'
		files='--config'
		folders='--data'
		others='--match'
		;;
	'room show')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'room create')
		options='--config --data --description --capacity --pinned --allow --json'
		files='--config'
		folders='--data'
		others='--description --capacity --allow'
		;;
	'room update')
		options='--config --data --description --capacity --pinned --no-pinned --allow --if-version --json'
		files='--config'
		folders='--data'
		others='--description --capacity --allow --if-version'
		;;
	'room delete')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'room kick')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'backup')
		options='--config --data --from --token-file --ca-file'
		files='--config --token-file --ca-file'
		folders='--data'
		others='--from'
		argument=file
		;;
	'restore')
		options='--config --data --from-cloud --code --token --ca --again'
		files='--config'
		folders='--data'
		others='--code --token --ca'
		argument=file
		;;
	'upgrade')
		commands='status keep watch rollback'
		;;
	'upgrade status')
		options='--json'
		;;
	'upgrade keep')
		options='--config --data'
		files='--config'
		folders='--data'
		;;
	'upgrade watch')
		options='--config --data --hold --patience --deaths'
		files='--config'
		folders='--data'
		others='--hold --patience --deaths'
		;;
	'upgrade rollback')
		;;
	'provision')
		options='--config --data'
		files='--config'
		folders='--data'
		argument=file
		;;
	'console')
		options='--from --to --reload'
		others='--from --to --reload'
		;;
	'trust')
		options='--config --data --json'
		files='--config'
		folders='--data'
		;;
	'bench')
		options='--url --conns --rate --bytes --duration --patience --token --data --json'
		folders='--data'
		others='--url --conns --rate --bytes --duration --patience --token'
		;;
	'version')
		options='--json --sbom --verify --signature --key'
		files='--verify --signature'
		others='--key'
		;;
	esac
}

_signalbox() {
	local cur=${COMP_WORDS[COMP_CWORD]} before= at= word i
	local commands options files folders others argument
	COMPREPLY=()
	_signalbox_grammar ''
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == = ]]; then
			continue
		elif [[ -n $before ]]; then
			before=
		elif [[ " $files $folders $others " == *" $word "* ]]; then
			before=$word
		elif [[ " $commands " == *" $word "* ]]; then
			at="${at:+$at }$word"
			_signalbox_grammar "$at"
		fi
	done
	[[ $cur == = ]] && cur=
	if [[ -n $before && " $files " == *" $before "* ]] || [[ -z $before && $cur != -* && $argument == file ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ -n $before && " $folders " == *" $before "* ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	elif [[ -z $before && $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $before ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	fi
}

complete -F _signalbox signalbox
